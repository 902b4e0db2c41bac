package provider

import (
	"encoding/base64"

	"anteroom/store"
)

// Client metadata that decides what a client is told about who somebody is
// (OpenID Connect Core section 8).
const (
	settingSubjectType = "subject_type"
	settingSector      = "sector_identifier" // ours: the host that pairwise subjects are made for
	pairwise           = "pairwise"
)

// subject is the sub that a client sees of an account: its id, or, for clients
// registered so, one that another sector does not see.
func (p *Provider) subject(c store.Client, accountID string) string {
	sector, ok := sectorOf(c)
	if !ok {
		return accountID
	}
	tag := p.seal.Derive("pairwise subject", sector+"\x00"+accountID, pairwiseTag)
	return base64.RawURLEncoding.EncodeToString(append(tag, p.mask(sector, tag, accountID)...))
}

// accountOf is the account that subject was made of for a client. What is no
// subject of this client comes back as it is, and is nobody's id.
func (p *Provider) accountOf(c store.Client, subject string) string {
	sector, ok := sectorOf(c)
	if !ok {
		return subject
	}
	raw, err := base64.RawURLEncoding.DecodeString(subject)
	if err != nil || len(raw) <= pairwiseTag || len(raw) > 255 {
		return subject
	}
	accountID := string(p.mask(sector, raw[:pairwiseTag], string(raw[pairwiseTag:])))
	if p.subject(c, accountID) != subject {
		return subject
	}
	return accountID
}

const pairwiseTag = 16 // bytes

// mask encrypts, and decrypts, under a tag that is made of the text itself
// (deterministic authenticated encryption, as RFC 5297): the same account always
// gives the same subject, without a table, and a hint leads back to the account.
func (p *Provider) mask(sector string, tag []byte, text string) []byte {
	out := []byte(text)
	if len(out) == 0 {
		return nil
	}
	for i, b := range p.seal.Derive("pairwise mask", sector+"\x00"+string(tag), len(out)) {
		out[i] ^= b
	}
	return out
}

func sectorOf(c store.Client) (string, bool) {
	sector, _ := c.Settings[settingSector].(string)
	return sector, c.Settings[settingSubjectType] == pairwise && sector != ""
}
