package flow

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/sessions"

	"anteroom/internal/seal"
)

// cookieStore is a gorilla sessions.Store whose sessions are sealed (authenticated
// encryption bound to the cookie's name), compressed, and split over several
// cookies when one is too small: an authorization request with 8 KiB of claims
// must fit. Each session holds one value, under the key "v".
type cookieStore struct {
	seal    *seal.Keyring
	options sessions.Options
}

var _ sessions.Store = (*cookieStore)(nil)

const (
	valueKey  = "v"
	chunkSize = 3500    // bytes of one cookie's value; browsers take 4096 with name and attributes
	maxChunks = 12      // bounds what a browser can make us read
	maxPlain  = 1 << 18 // bounds decompression
)

// newCookieStore: flags follow the issuer's scheme. Ports of one host share
// cookies, so on plain http the port is part of every name.
func newCookieStore(k *seal.Keyring, issuer *url.URL) (store *cookieStore, prefix string) {
	return &cookieStore{seal: k, options: sessions.Options{
		Path: "/", HttpOnly: true, Secure: issuer.Scheme == "https", SameSite: http.SameSiteLaxMode,
	}}, cookiePrefix(issuer)
}

func cookiePrefix(issuer *url.URL) string {
	if issuer.Scheme == "https" {
		return "__Host-anteroom_"
	}
	return "anteroom_" + issuer.Port() + "_"
}

func (s *cookieStore) Get(r *http.Request, name string) (*sessions.Session, error) {
	return sessions.GetRegistry(r).Get(s, name)
}

// New reads the session called name; one that is missing, altered or sealed
// under another key is an empty new one.
func (s *cookieStore) New(r *http.Request, name string) (*sessions.Session, error) {
	session := sessions.NewSession(s, name)
	options := s.options
	session.Options = &options
	plain, err := s.read(r, name)
	session.IsNew = err != nil
	if err == nil {
		session.Values[valueKey] = plain
	}
	return session, nil
}

// Save writes the session, or removes its cookies when MaxAge is negative.
func (s *cookieStore) Save(r *http.Request, w http.ResponseWriter, session *sessions.Session) error {
	name := session.Name()
	var chunks []string
	if plain, ok := session.Values[valueKey].([]byte); ok && session.Options.MaxAge >= 0 {
		packed, err := pack(plain)
		if err != nil {
			return err
		}
		chunks = split(base64.RawURLEncoding.EncodeToString(s.seal.Seal("cookie", name, packed)))
		if len(chunks) > maxChunks {
			return fmt.Errorf("cookie %s needs %d parts: %w", name, len(chunks), errTooLarge)
		}
	}
	for i, chunk := range chunks {
		http.SetCookie(w, sessions.NewCookie(chunkName(name, i), chunk, session.Options))
	}
	// Parts of an earlier, longer value would not open together with these.
	gone := *session.Options
	gone.MaxAge = -1
	for i := len(chunks); i < maxChunks; i++ {
		if _, err := r.Cookie(chunkName(name, i)); err != nil {
			break
		}
		http.SetCookie(w, sessions.NewCookie(chunkName(name, i), "", &gone))
	}
	return nil
}

var errTooLarge = errors.New("the request is too large to be kept")

func (s *cookieStore) read(r *http.Request, name string) ([]byte, error) {
	first, err := r.Cookie(name)
	if err != nil {
		return nil, err
	}
	count, encoded, found := strings.Cut(first.Value, ".")
	n, err := strconv.Atoi(count)
	if err != nil || !found || n < 1 || n > maxChunks {
		return nil, seal.ErrOpen
	}
	for i := 1; i < n; i++ {
		part, err := r.Cookie(chunkName(name, i))
		if err != nil {
			return nil, err
		}
		encoded += part.Value
	}
	sealed, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return nil, seal.ErrOpen
	}
	packed, err := s.seal.Open("cookie", name, sealed)
	if err != nil {
		return nil, err
	}
	return unpack(packed)
}

func chunkName(name string, i int) string {
	if i == 0 {
		return name
	}
	return name + "." + strconv.Itoa(i)
}

func split(encoded string) []string {
	n := max(1, (len(encoded)+chunkSize-1)/chunkSize)
	chunks := make([]string, 0, n)
	for i := range n {
		chunks = append(chunks, encoded[i*chunkSize:min(len(encoded), (i+1)*chunkSize)])
	}
	chunks[0] = strconv.Itoa(n) + "." + chunks[0]
	return chunks
}

// Compressors and their windows are large (1.2 MB to write, 40 KB to read), and
// a sign-in needs several: they are used again.
var (
	writers = sync.Pool{New: func() any {
		z, err := flate.NewWriter(io.Discard, flate.BestSpeed)
		if err != nil {
			panic(err) // only levels fail, and this one exists
		}
		return z
	}}
	readers = sync.Pool{New: func() any { return flate.NewReader(nil) }}
)

func pack(plain []byte) ([]byte, error) {
	var buf bytes.Buffer
	z := writers.Get().(*flate.Writer)
	defer writers.Put(z)
	z.Reset(&buf)
	if _, err := z.Write(plain); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

func unpack(packed []byte) ([]byte, error) {
	z := readers.Get().(io.ReadCloser)
	defer readers.Put(z)
	if err := z.(flate.Resetter).Reset(bytes.NewReader(packed), nil); err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(io.LimitReader(z, maxPlain+1))
	if err != nil || len(plain) > maxPlain {
		return nil, seal.ErrOpen
	}
	return plain, nil
}

// put saves value under name for maxAge (rounded up to seconds).
func (s *cookieStore) put(w http.ResponseWriter, r *http.Request, name string, value []byte, maxAge time.Duration) error {
	session, err := s.Get(r, name)
	if err != nil {
		return err
	}
	session.Values[valueKey] = value
	session.Options.MaxAge = max(1, int((maxAge+time.Second-1)/time.Second))
	return session.Save(r, w)
}

// get returns the value under name, also one that put saved in this request.
func (s *cookieStore) get(r *http.Request, name string) ([]byte, bool) {
	session, err := s.Get(r, name)
	if err != nil {
		return nil, false
	}
	value, ok := session.Values[valueKey].([]byte)
	return value, ok
}

// drop removes the cookie called name, if the browser has it.
func (s *cookieStore) drop(w http.ResponseWriter, r *http.Request, name string) error {
	session, err := s.Get(r, name)
	if err != nil {
		return err
	}
	delete(session.Values, valueKey)
	session.Options.MaxAge = -1
	return session.Save(r, w)
}
