package provider

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// serve answers one request without a network.
func serve(b *testing.B, h http.HandlerFunc, form url.Values, who as) {
	body := form.Encode()
	req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	who(req, form)
	w := httptest.NewRecorder()
	h(w, req)
	if w.Code != http.StatusOK {
		b.Fatalf("got %d %s", w.Code, w.Body)
	}
}

// A token by client credentials is to cost at most 2.5 times an empty request and
// the signature in it.
func BenchmarkClientCredentials(b *testing.B) {
	r := newRig(b)
	form, who := url.Values{"grant_type": {"client_credentials"}, "scope": {"api.read"}}, basic("web")
	b.Run("signature alone", func(b *testing.B) {
		key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(b)
		digest := sha256.Sum256([]byte("x"))
		for b.Loop() {
			if _, err := ecdsa.SignASN1(rand.Reader, key, digest[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("empty handler", func(b *testing.B) {
		for b.Loop() {
			serve(b, func(w http.ResponseWriter, r *http.Request) { _ = r.ParseForm() }, form, who)
		}
	})
	b.Run("token", func(b *testing.B) {
		for b.Loop() {
			serve(b, r.p.Token, form, who)
		}
	})
}

func BenchmarkReads(b *testing.B) {
	r := newRig(b)
	got := r.tokens("web", "scope", "openid profile email roles")
	for name, c := range map[string]struct {
		h    http.HandlerFunc
		form url.Values
		who  as
	}{
		"userinfo":   {r.p.UserInfo, nil, withToken(str(got["access_token"]))},
		"introspect": {r.p.Introspect, url.Values{"token": {str(got["access_token"])}}, basic("web")},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				serve(b, c.h, c.form, c.who)
			}
		})
	}
}
