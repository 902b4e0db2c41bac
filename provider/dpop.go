package provider

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"anteroom/store"
)

const (
	// typeProof is the type of a DPoP proof (RFC 9449 section 4.2).
	typeProof = "dpop+jwt"
	// proofLife is how old a proof may be, clockSkew aside.
	proofLife = time.Minute
	// nonceLife is how long a nonce is handed out; it is taken for as long again.
	nonceLife = 5 * time.Minute
)

// confirmation says who may use a token: the holder of a key (RFC 9449 section
// 6.1) or of a certificate (RFC 8705 section 3.1).
type confirmation struct {
	JKT string `json:"jkt,omitempty"`
	X5T string `json:"x5t#S256,omitempty"`
}

// proofClaims are the claims of a DPoP proof (RFC 9449 section 4.2).
type proofClaims struct {
	clientJWT
	Method string `json:"htm"`
	URI    string `json:"htu"`
	Hash   string `json:"ath"`
	Nonce  string `json:"nonce"`
}

func badProof(cause error) *refusal {
	return refuse("invalid_dpop_proof", "The DPoP proof is missing, or not a fresh one for this request (RFC 9449 section 4.3).").because(cause)
}

var errNonce = errors.New("nonce missing or over")

// readProof checks the DPoP proof of a request (RFC 9449 section 4.3) and returns
// the thumbprint of its key and what must be used up with the request; "" if
// there is none. token is the access token that comes with it, if any.
func (p *Provider) readProof(r *http.Request, c store.Client, token string) (string, []spend, error) {
	headers := r.Header.Values("DPoP")
	if len(headers) == 0 {
		return "", nil, nil
	}
	if len(headers) > 1 {
		return "", nil, badProof(errors.New("two proofs"))
	}
	var claims proofClaims
	jkt, err := openProof(headers[0], algorithmsOf(c), &claims)
	if err == nil {
		err = p.checkProof(r, claims, token)
	}
	if err == nil && claims.Nonce == "" && flag(c, "dpop_nonce_required") {
		err = errNonce
	}
	if errors.Is(err, errNonce) {
		return "", nil, refuse("use_dpop_nonce", "Send a proof with the nonce of the header DPoP-Nonce (RFC 9449 section 8).").because(err)
	}
	if err != nil {
		return "", nil, badProof(err)
	}
	return jkt, []spend{{
		space: "DPoP proof", key: jkt + " " + claims.ID, until: numericDate(*claims.IssuedAt).Add(proofLife + 2*clockSkew),
		replayed: badProof(errors.New("a proof that was used before")),
	}}, nil
}

// openProof verifies a proof with the key that it carries and returns the key's
// thumbprint (RFC 7638).
func openProof(raw string, algorithms []string, claims *proofClaims) (string, error) {
	signed, err := parseClientJWT(raw, algorithms, claims)
	if err != nil {
		return "", err
	}
	header := signed.Signatures[0].Protected
	if typ, _ := header.ExtraHeaders["typ"].(string); !strings.EqualFold(typ, typeProof) {
		return "", fmt.Errorf("typ %q", typ)
	}
	key := header.JSONWebKey
	if key == nil || !key.IsPublic() || !key.Valid() || !keyFits(*key, header.Algorithm) {
		return "", errors.New("no public key that fits the algorithm")
	}
	if _, err := signed.Verify(key.Key); err != nil {
		return "", fmt.Errorf("verify: %w", err)
	}
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("thumbprint: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

// checkProof: for this request, made just now.
func (p *Provider) checkProof(r *http.Request, claims proofClaims, token string) error {
	now := p.now()
	switch {
	case claims.ID == "":
		return errors.New("no jti")
	case claims.IssuedAt == nil:
		return errors.New("no iat")
	case claims.Method != r.Method:
		return fmt.Errorf("htm %q", claims.Method)
	case !p.isEndpoint(claims.URI, r.URL.Path):
		return fmt.Errorf("htu %q", claims.URI)
	case claims.Nonce != "" && !p.knowsNonce(claims.Nonce):
		return errNonce
	}
	made := numericDate(*claims.IssuedAt)
	if made.After(now.Add(clockSkew)) || !now.Before(made.Add(proofLife+clockSkew)) || made.Before(p.restored.Truncate(time.Second)) {
		return fmt.Errorf("made at %s", made)
	}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		if claims.Hash != base64.RawURLEncoding.EncodeToString(sum[:]) {
			return errors.New("ath of another token")
		}
	}
	return nil
}

// isEndpoint tells whether a URI is that of the endpoint with a path, under the
// issuer or where clients show certificates.
func (p *Provider) isEndpoint(uri, path string) bool {
	base := p.aliasBase()
	return sameURI(uri, p.issuer+path) || (base != "" && sameURI(uri, base+path))
}

// sameURI compares without query and fragment, which htu has not, and as RFC 3986
// section 6.2.2 and 6.2.3 normalise.
func sameURI(a, b string) bool {
	normal := func(raw string) string {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" || u.User != nil {
			return ""
		}
		host := strings.ToLower(u.Host)
		scheme := strings.ToLower(u.Scheme)
		if port := map[string]string{"https": ":443", "http": ":80"}[scheme]; port != "" {
			host = strings.TrimSuffix(host, port)
		}
		return scheme + "://" + host + u.EscapedPath()
	}
	return normal(a) != "" && normal(a) == normal(b)
}

// Nonces (RFC 9449 section 8) tell nothing and are not stored: every node knows
// those of this moment and of the one before.
func (p *Provider) nonce(ago int64) string {
	slot := p.now().Unix()/int64(nonceLife.Seconds()) - ago
	return p.seal.Digest("dpop nonce", strconv.FormatInt(slot, 10))
}

func (p *Provider) knowsNonce(n string) bool {
	return hmac.Equal([]byte(n), []byte(p.nonce(0))) || hmac.Equal([]byte(n), []byte(p.nonce(1)))
}

// offerNonce gives those who send proofs the nonce for the next one.
func (p *Provider) offerNonce(w http.ResponseWriter, r *http.Request) {
	if len(r.Header.Values("DPoP")) > 0 {
		w.Header().Set("DPoP-Nonce", p.nonce(0))
	}
}

// constrain finds out to whom the tokens of a request will belong.
func (p *Provider) constrain(x *exchange) error {
	jkt, values, err := p.readProof(x.request, x.client, "")
	if err != nil {
		return err
	}
	x.spends = append(x.spends, values...)
	switch {
	case jkt != "":
		x.cnf = &confirmation{JKT: jkt}
	case flag(x.client, "dpop_bound_access_tokens"):
		return badProof(errors.New("no proof"))
	case bindsCertificate(x.client):
		chain := p.certificates(x.request)
		if len(chain) == 0 {
			return refuse("invalid_request", "This client is registered for certificate-bound tokens (RFC 8705 section 3): show the certificate.")
		}
		x.cnf = &confirmation{X5T: thumbprint(chain[0])}
	case fapi(x.client):
		x.cnf, err = p.fapiHolder(x.request)
	}
	return err
}

func bindsCertificate(c store.Client) bool {
	return flag(c, "tls_client_certificate_bound_access_tokens")
}

// checkHolder refuses an access token from anybody but its holder (RFC 9449
// section 7.1, RFC 8705 section 3).
func (p *Provider) checkHolder(ctx context.Context, r *http.Request, scheme, raw string, t liveToken) error {
	cnf := t.claims.Confirmation
	if cnf == nil {
		cnf = &confirmation{}
	}
	if (cnf.JKT != "") != (scheme == "DPoP") {
		return errBearer(fmt.Errorf("scheme %s, cnf %+v", scheme, *cnf))
	}
	if cnf.X5T != "" {
		chain := p.certificates(r)
		if len(chain) == 0 || thumbprint(chain[0]) != cnf.X5T {
			return errBearer(errors.New("another certificate, or none"))
		}
	}
	if cnf.JKT == "" {
		return nil
	}
	jkt, values, err := p.readProof(r, t.client, raw)
	if err == nil && jkt != cnf.JKT {
		err = badProof(errors.New("another key, or no proof"))
	}
	if err == nil {
		err = p.useNow(ctx, values)
	}
	if wrong, ok := errors.AsType[*refusal](err); ok {
		return wrong.withStatus(http.StatusUnauthorized)
	}
	return err
}

// A refresh token that belongs to somebody says so after this sign; its hash is
// of the whole, so what it says cannot be changed. That of a public client names
// the key or certificate (RFC 9449 section 5). That of a confidential client
// belongs to the client, which may change its key, but not do without.
const (
	boundSign = "~"
	boundAny  = "s"
)

// bound returns what a refresh token ends with.
func (x *exchange) bound() string {
	switch {
	case x.cnf == nil:
		return ""
	case !public(x.client):
		return boundSign + boundAny
	case x.cnf.JKT != "":
		return boundSign + "d" + x.cnf.JKT
	}
	return boundSign + "c" + x.cnf.X5T
}

// holds tells whether the request may use a refresh token.
func (x *exchange) holds(raw string) bool {
	_, to, bound := strings.Cut(raw, boundSign)
	if !bound {
		return true
	}
	return x.cnf != nil && (to == boundAny || to == "d"+x.cnf.JKT || to == "c"+x.cnf.X5T)
}

var thumbprintText = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// checkKey reads dpop_jkt (RFC 9449 section 10).
func (a *authorization) checkKey() error {
	if jkt := a.Get("dpop_jkt"); jkt != "" && !thumbprintText.MatchString(jkt) {
		return refuse("invalid_request", "The dpop_jkt is not the base64url SHA-256 thumbprint of a key.")
	}
	return nil
}

// pushedKey takes the key of a proof into a pushed request (RFC 9449 section
// 10.1).
func (p *Provider) pushedKey(r *http.Request, c store.Client, form url.Values) ([]spend, error) {
	jkt, values, err := p.readProof(r, c, "")
	if err != nil || jkt == "" {
		return nil, err
	}
	if sent := form.Get("dpop_jkt"); sent != "" && sent != jkt {
		return values, badProof(errors.New("dpop_jkt is of another key"))
	}
	form.Set("dpop_jkt", jkt)
	return values, nil
}

// grantKey returns the key that a grant was asked for, "" for any.
func grantKey(g store.Grant) string {
	kept, err := url.ParseQuery(g.Params)
	if err != nil {
		return ""
	}
	return kept.Get("dpop_jkt")
}
