package provider

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"time"

	"anteroom/store"
)

// signedAnswerLife is how long a signed answer is good (JARM section 2.1
// recommends at most 10 minutes).
const signedAnswerLife = 10 * time.Minute

// answerMode takes a response_mode apart: how the answer travels, and the
// algorithm that signs it, empty for one that is not signed (JARM section 2.3).
func answerMode(c store.Client, mode, responseType string) (how, alg string) {
	base, signed := strings.CutSuffix(mode, "jwt")
	if !signed {
		return mode, ""
	}
	if how = strings.TrimSuffix(base, "."); how == "" {
		how = defaultMode(responseType)
	}
	return how, answerAlgorithm(c)
}

// answerAlgorithm is what authorization_signed_response_alg says; RS256 is its
// default (JARM section 3).
func answerAlgorithm(c store.Client) string {
	return signsWith(c, setting(c, signedAlg(answerAuthorization)), "RS256")
}

// answerable refuses a request whose answer could not be encrypted: nobody should
// sign in for nothing.
func (p *Provider) answerable(ctx context.Context, a *authorization) error {
	for answer, sent := range map[string]bool{answerAuthorization: a.target.alg != "", answerIDToken: a.asks("id_token")} {
		if !sent || !wantsEncrypted(a.client, answer) {
			continue
		}
		if _, _, err := p.recipient(ctx, a.client, answer); err != nil {
			return err
		}
	}
	return nil
}

// signAnswer returns the one parameter of a signed answer (JARM section 2.1),
// encrypted if the client wants it so (section 2.2). It has no subject, so that it
// never passes for an ID token.
func (p *Provider) signAnswer(ctx context.Context, t target, values url.Values) (url.Values, error) {
	claims := map[string]any{"aud": t.client.ID, "exp": p.now().Add(signedAnswerLife).Unix()}
	for name := range maps.Keys(values) {
		claims[name] = values.Get(name)
	}
	token, err := p.keys.sign(ctx, t.alg, typeIDToken, claims)
	if err != nil {
		return nil, fmt.Errorf("sign authorization response: %w", err)
	}
	if token, err = p.encrypt(ctx, t.client, answerAuthorization, token, nested); err != nil {
		return nil, err
	}
	return url.Values{"response": {token}}, nil
}
