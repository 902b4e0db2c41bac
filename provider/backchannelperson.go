package provider

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"anteroom/store"
)

// findPerson finds whom the one hint names. Somebody who is not known, not
// active, or may not enter the application is answered for like anybody else, by
// a request that nobody will ever decide: the client learns no more than that
// nobody approved, and cannot try out whose accounts there are.
func (p *Provider) findPerson(ctx context.Context, b *backchannel) error {
	var sent []string
	for _, name := range []string{"login_hint", "id_token_hint", "login_hint_token"} {
		if b.form.Get(name) != "" {
			sent = append(sent, name)
		}
	}
	if len(sent) != 1 {
		return refuse("invalid_request", "Send exactly one of login_hint and id_token_hint.")
	}
	hint := b.form.Get(sent[0])
	var account store.Account
	var err error
	switch sent[0] {
	case "login_hint":
		if hint = strings.TrimSpace(hint); hint == "" || len(hint) > 320 {
			return refuse("invalid_request", "The login_hint is a user name or an e-mail address.")
		}
		account, err = p.store.AccountByName(ctx, hint)
	case "id_token_hint":
		if hint, err = p.hintedAccount(ctx, b.client, hint); err != nil {
			return err
		}
		account, err = p.store.Account(ctx, hint)
	default:
		return refuse("invalid_request", "The login_hint_token is not supported; send login_hint or id_token_hint.")
	}
	if err != nil && !over(err) {
		return fmt.Errorf("load account: %w", err)
	}
	known := err == nil && account.State == store.AccountActive
	if known {
		if known, err = p.mayEnter(ctx, account, b.app); err != nil {
			return fmt.Errorf("check access: %w", err)
		}
	}
	b.row.AccountID = "nobody " + p.seal.Digest(digestBackchannel, store.FoldName(hint))
	if known {
		b.person, b.row.AccountID = &account, account.ID
	}
	return nil
}

// hintedAccount is the account of an ID token that this client got.
func (p *Provider) hintedAccount(ctx context.Context, c store.Client, raw string) (string, error) {
	hint, err := p.openHint(ctx, raw)
	if err != nil && !errors.Is(err, errToken) {
		return "", err
	}
	if err != nil || !contains(hint.Audience, c.ID) {
		return "", refuse("invalid_request", "The id_token_hint is not an ID token that this server issued to this client.").because(err)
	}
	return p.accountOf(c, hint.Subject), nil
}
