package provider

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"

	"anteroom/store"
)

// Client metadata that decides what a client is told about who somebody is
// (OpenID Connect Core section 8).
const (
	settingSubjectType = "subject_type"
	settingSectorURI   = "sector_identifier_uri"
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

// SettleSubject decides whom the subjects of a client are made for, and says what
// stands against it, by metadata and in words for whoever registers it; nothing if
// it is good. before is the client as it is, nil if it is new. It may fetch the
// sector_identifier_uri: no unit of work may be open.
func (p *Provider) SettleSubject(ctx context.Context, before, c *store.Client) map[string]string {
	if err := p.settleSubject(ctx, c); err != nil {
		field := settingSubjectType
		if setting(*c, settingSectorURI) != "" && setting(*c, settingSubjectType) != "" {
			field = settingSectorURI
		}
		return map[string]string{field: strings.TrimSuffix(asRefusal(err).Description, ".")}
	}
	if before != nil && subjectsMove(*before, *c) {
		return map[string]string{settingSubjectType: subjectsStay}
	}
	return nil
}

// subjectsStay: the sub of a person never changes (OpenID Connect Core section 2),
// nor from one ID token of a grant to the next (section 12.2).
const subjectsStay = "everybody would become a stranger to this client: its subjects belong to their type and host. Register another client, or keep the host by a sector_identifier_uri there"

// subjectsMove tells whether people would have other subjects.
func subjectsMove(before, after store.Client) bool {
	was, wasPairwise := sectorOf(before)
	is, isPairwise := sectorOf(after)
	return wasPairwise != isPairwise || (isPairwise && was != is)
}

// settleSubject is OpenID Connect Core section 8.1 and Registration section 5.
func (p *Provider) settleSubject(ctx context.Context, c *store.Client) error {
	delete(c.Settings, settingSector)
	kind, sector := c.Settings[settingSubjectType], setting(*c, settingSectorURI)
	if kind != nil && kind != "public" && kind != pairwise {
		return badMetadata("subject_type is public or pairwise.")
	}
	if sector != "" {
		if err := p.checkSector(ctx, sector, c.RedirectURIs); err != nil {
			return err
		}
	}
	if kind != pairwise {
		return nil
	}
	if sector == "" {
		for _, uri := range c.RedirectURIs {
			if hostOf(uri) != hostOf(c.RedirectURIs[0]) {
				return badMetadata("redirect_uris have several hosts: pairwise subjects need a sector_identifier_uri.")
			}
			sector = uri
		}
	}
	if hostOf(sector) == "" {
		return badMetadata("redirect_uris have no host: pairwise subjects need a sector_identifier_uri.")
	}
	c.Settings[settingSector] = hostOf(sector)
	return nil
}

func hostOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// checkSector fetches the list of a sector: only clients that are in it share
// its subjects.
func (p *Provider) checkSector(ctx context.Context, sector string, uris []string) error {
	body, err := p.fetch.Newer(ctx, sector, 0)
	if err != nil {
		return badMetadata("sector_identifier_uri could not be fetched.").because(err)
	}
	var list []string
	if err := json.Unmarshal(body, &list); err != nil {
		return badMetadata("sector_identifier_uri is not a JSON array of URIs.").because(err)
	}
	for _, uri := range uris {
		if !contains(list, uri) {
			return badMetadata("sector_identifier_uri does not list %s.", uri)
		}
	}
	return nil
}

func sectorOf(c store.Client) (string, bool) {
	sector, _ := c.Settings[settingSector].(string)
	return sector, c.Settings[settingSubjectType] == pairwise && sector != ""
}
