package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"

	"anteroom/e2e"
)

// What the product hashes new passwords with: 19 MiB, two passes, one lane.
const (
	hashMemory = 19 * 1024 // KiB
	hashPasses = 2
	hashLanes  = 1
	hashLength = 32

	application  = "bench"
	organisation = "acme"
	password     = "correct horse battery staple"
)

// hashOnce does the work of one password check.
func hashOnce(salt []byte) []byte {
	return argon2.IDKey([]byte(password), salt, hashPasses, hashMemory, hashLanes, hashLength)
}

// Person is somebody with an authenticator app.
type Person struct {
	Email  string
	Secret string // base32
	step   int64  // of the last code; each is accepted once
}

// Move makes the application and its client, and moves people in from another
// system with passwords and second factors, all with the product's commands.
// Everybody has the same password, and so the same hash: a fresh salt for each
// would take longer than the bench.
func (p *Product) Move(ctx context.Context, n int, idTokenAlg string) (*Client, []*Person, error) {
	if _, err := p.Command(ctx, nil, "org", "create", organisation, "--name", "Acme Ltd"); err != nil {
		return nil, nil, err
	}
	if _, err := p.Command(ctx, nil, "app", "create", application, "--name", "Bench", "--launch-url", "http://localhost:9/"); err != nil {
		return nil, nil, err
	}
	out, err := p.Command(ctx, nil, "client", "register", "--json", "--app", application, "--redirect-uri", redirectURI,
		"--id-token-alg", idTokenAlg,
		"--grant", "authorization_code", "--grant", "refresh_token", "--grant", "client_credentials")
	if err != nil {
		return nil, nil, err
	}
	var made struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	if err := json.Unmarshal(out, &made); err != nil {
		return nil, nil, fmt.Errorf("client register: %w", err)
	}
	lines, people, err := population(n)
	if err != nil {
		return nil, nil, err
	}
	if _, err := p.Command(ctx, bytes.NewReader(lines), "account", "import", "-"); err != nil {
		return nil, nil, err
	}
	client, err := NewClient(ctx, p.Issuer, made.ID, made.Secret)
	if err != nil {
		return nil, nil, err
	}
	client.idTokenAlg = idTokenAlg
	return client, people, nil
}

// population makes up people, and the lines to import them.
func population(n int) ([]byte, []*Person, error) {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails (crypto/rand)
	b64 := base64.RawStdEncoding.EncodeToString
	hash := fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, hashMemory, hashPasses, hashLanes, b64(salt), b64(hashOnce(salt)))
	var lines bytes.Buffer
	people := make([]*Person, n)
	encode := json.NewEncoder(&lines)
	for i := range people {
		secret := make([]byte, 20)
		_, _ = rand.Read(secret)
		one := &Person{Email: fmt.Sprintf("person%05d@acme.example", i), Secret: base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret)}
		err := encode.Encode(map[string]any{
			"email": one.Email, "email_verified": true, "organisation": organisation,
			"given_name": "Person", "family_name": fmt.Sprint(i),
			"password_hash": hash, "totp_secret": one.Secret,
			"assignments": []map[string]string{{"application": application, "state": "active"}},
		})
		if err != nil {
			return nil, nil, err
		}
		people[i] = one
	}
	return lines.Bytes(), people, nil
}

// code returns what her app shows, false if that code was used already.
func (p *Person) code(now time.Time) (string, bool, error) {
	step := now.Unix() / int64(e2e.Step/time.Second)
	if step <= p.step {
		return "", false, nil
	}
	code, err := e2e.Code(p.Secret, now)
	p.step = step
	return code, true, err
}

// Crowd hands out people, the one who waited longest first. It is safe for
// concurrent use.
type Crowd chan *Person

func newCrowd(people []*Person) Crowd {
	c := make(Crowd, len(people))
	for _, p := range people {
		c <- p
	}
	return c
}

// take returns somebody whose app shows a code that was not used, false if there
// is nobody.
func (c Crowd) take() (*Person, string, bool, error) {
	select {
	case p := <-c:
		code, fresh, err := p.code(time.Now())
		if !fresh || err != nil {
			c <- p
		}
		return p, code, fresh, err
	default:
		return nil, "", false, nil
	}
}

// signIn lives through a sign-in with both factors in a new browser, up to the
// code, and returns the browser's cookies.
func signIn(ctx context.Context, c *Client, who *Person, code string) (Code, http.CookieJar, error) {
	v := newVisitor(c)
	v.Stay(redirectURI)
	address, read := c.request()
	err := v.Open(ctx, address)
	if err == nil {
		err = v.Press(ctx, "login-submit", url.Values{"username": {who.Email}, "password": {password}})
	}
	if err == nil && v.Status() == http.StatusServiceUnavailable && v.Header().Get("Retry-After") != "" {
		err = errRefused
	}
	if err == nil {
		err = v.Press(ctx, "challenge-submit", url.Values{"code": {code}})
	}
	if err != nil {
		return Code{}, nil, fmt.Errorf("sign-in of %s: %w", who.Email, err)
	}
	got, err := read(v.Location())
	if err != nil {
		return Code{}, nil, fmt.Errorf("sign-in of %s: at %s (%d): %q: %w", who.Email, v.URL(), v.Status(), v.Text("error"), err)
	}
	return got, v.Client.Jar, nil
}

// newVisitor returns a new browser on the bench's connections: to open another
// one for each request would be measured, too.
func newVisitor(c *Client) *e2e.Visitor {
	v := e2e.NewVisitor()
	v.Client.Transport = c.HTTP.Transport
	return v
}

// hop is one request of a browser.
type hop struct {
	Name string // method and path
	do   func(ctx context.Context) error
}

// walk lives through a sign-in a request at a time: watch runs before and after
// each, and is told which it was.
func walk(ctx context.Context, c *Client, who *Person, code string, watch func(name string, do func() error) error) (Code, http.CookieJar, error) {
	v := newVisitor(c)
	v.Stay("http://") // stops at each redirect
	address, read := c.request()
	steps := []hop{
		{"GET /authorize", func(ctx context.Context) error { return v.Open(ctx, address) }},
		{"POST /login (right password)", func(ctx context.Context) error {
			return v.Press(ctx, "login-submit", url.Values{"username": {who.Email}, "password": {password}})
		}},
		{stepChallenge, func(ctx context.Context) error {
			return v.Press(ctx, "challenge-submit", url.Values{"code": {code}})
		}},
	}
	for _, step := range steps {
		if err := watch(step.Name, func() error { return step.do(ctx) }); err != nil {
			return Code{}, nil, err
		}
		for v.Location() != nil && !strings.HasPrefix(v.Location().String(), redirectURI) {
			next := v.Location()
			if err := watch("GET "+next.Path, func() error { return v.Open(ctx, next.String()) }); err != nil {
				return Code{}, nil, err
			}
		}
	}
	got, err := read(v.Location())
	return got, v.Client.Jar, err
}
