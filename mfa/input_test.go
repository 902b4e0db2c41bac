package mfa

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestBadInputIsRefusedAndChangesNothing(t *testing.T) {
	s := newHouse(t)
	paths := map[string]struct{ name, field string }{
		"/mfa/challenge": {"ann", "code"}, "/mfa/recovery": {"ann", "recovery_code"}, "/mfa/enroll": {"new", "code"},
	}
	for path, on := range paths {
		b := s.browser()
		p := b.password("pa", on.name)
		query := "?" + p.url.RawQuery
		send := func(kind, body string) page {
			return b.read(b.Post(s.URL+path+query, kind, strings.NewReader(body)))
		}
		const form = "application/x-www-form-urlencoded"
		bodies := map[string]page{
			"missing":      send(form, ""),
			"empty":        send(form, on.field+"="),
			"twice":        send(form, on.field+"=123456&"+on.field+"=123457"),
			"not UTF-8":    send(form, on.field+"=%ff%fe"),
			"NUL":          send(form, on.field+"=123%00456"),
			"escape":       send(form, on.field+"=%zz"),
			"long":         send(form, on.field+"="+strings.Repeat("1", 100_000)),
			"rather long":  send(form, on.field+"="+strings.Repeat("1", 1000)),
			"JSON":         send("application/json", `{"code":"123456"}`),
			"no type":      send("", on.field+"=123456"),
			"five digits":  send(form, on.field+"=12345"),
			"letters":      send(form, on.field+"=abcdef"),
			"a tag":        send(form, on.field+"=<script>alert(1)</script>"),
			"another page": b.read(b.PostForm(s.URL+path+"?i=nobody", nil)),
			"no page":      b.read(b.PostForm(s.URL+path, nil)),
		}
		request, err := http.NewRequest(http.MethodPut, s.URL+path+query, nil)
		s.Must(err)
		bodies["PUT"] = b.read(b.Do(request))
		for what, got := range bodies {
			if got.status < 400 || got.status > 499 || !errorText.MatchString(got.body) || strings.Contains(got.body, "<script>alert") {
				t.Errorf("%s to %s: %d %s", what, path, got.status, got.text())
			}
		}
	}
	if len(s.events("ann"))+len(s.events("new"))+len(s.mails()) != 0 || s.codesLeft("ann") != 3 || len(s.authenticators("new")) != 0 {
		t.Error("something was changed")
	}
}

// No step of another account, and no step that is not next, is served.
func TestStepsAreServedOnlyWhenTheyAreNext(t *testing.T) {
	s := newHouse(t)
	b := s.browser()
	p := b.at(b.password("pa", "ann"), "/mfa/challenge")
	for _, path := range []string{"/mfa/enroll", "/mfa/recovery-codes", "/mfa/recovery-codes.txt"} {
		b.at(b.again(p, path), "/mfa/challenge")
		b.at(b.post(p, path, "code", s.code(annsPhone)), "/mfa/challenge")
	}
	b.at(b.post(p, "/mfa/enroll/restart"), "/mfa/challenge")
	if other := s.browser(); slices.Contains([]int{200, 303}, other.again(p, "/mfa/challenge").status) {
		t.Error("another browser is served")
	}
}
