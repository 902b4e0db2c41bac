package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"

	"anteroom/admin"
	"anteroom/internal/demo"
)

// party is a relying party without pages: tests see the code and the tokens that
// a portal would keep to itself. Nothing listens at its redirect URI; visitors
// stop there.
type party struct {
	oauth2.Config
	http *http.Client
}

const partyRedirect = "http://localhost:9/callback" // the discard port

// register makes a client of an application.
func register(ctx context.Context, op *demo.Operator, issuer, application string) (*party, error) {
	redirects, grants := []string{partyRedirect}, []string{"authorization_code", "refresh_token"}
	scope, method := "openid profile email roles offline_access", "client_secret_basic"
	var made admin.Registered
	err := op.Do(ctx, http.MethodPost, "/clients", admin.RegisterClient{Application: application, ChangeClient: admin.ChangeClient{
		RedirectURIs: &redirects, GrantTypes: &grants, Scope: &scope, TokenEndpointAuthMethod: &method,
	}}, &made)
	if err != nil {
		return nil, err
	}
	return &party{http: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}, Config: oauth2.Config{
		ClientID: made.ID, ClientSecret: made.Secret, RedirectURL: partyRedirect, Scopes: []string{"openid", "email", "roles", "offline_access"},
		Endpoint: oauth2.Endpoint{AuthURL: issuer + "/authorize", TokenURL: issuer + "/token", AuthStyle: oauth2.AuthStyleInHeader},
	}}, nil
}

// begin sends a browser to the issuer. The visitor stops before it would return.
func (c *party) begin(ctx context.Context, v *Visitor, verifier string, more ...oauth2.AuthCodeOption) error {
	v.Stay(partyRedirect)
	options := append([]oauth2.AuthCodeOption{oauth2.S256ChallengeOption(verifier)}, more...)
	return v.Open(ctx, c.AuthCodeURL("state-of-"+verifier[:8], options...))
}

// answer returns what the browser brought back: the code, or the error.
func (c *party) answer(v *Visitor) (code, failure string, err error) {
	at := v.Location()
	if at == nil {
		return "", "", fmt.Errorf("no answer for the client: %d at %s: %q", v.Status(), v.URL(), v.Text("error"))
	}
	return at.Query().Get("code"), at.Query().Get("error"), nil
}

func (c *party) redeem(ctx context.Context, code, verifier string) (*oauth2.Token, error) {
	return c.Exchange(context.WithValue(ctx, oauth2.HTTPClient, c.http), code, oauth2.VerifierOption(verifier))
}

func (c *party) refresh(ctx context.Context, token string) (*oauth2.Token, error) {
	return c.TokenSource(context.WithValue(ctx, oauth2.HTTPClient, c.http), &oauth2.Token{RefreshToken: token}).Token()
}

// refusal returns the protocol's word for a refused token request: "" if it was
// not refused but failed, or did not fail.
func refusal(err error) string {
	if answer, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return answer.ErrorCode
	}
	return ""
}

// fields makes the values of a form.
func fields(pairs ...string) url.Values {
	values := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	return values
}
