package mfa

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"anteroom/flow"
	"anteroom/flow/flowtest"
	"anteroom/store"

	"github.com/pquerna/otp"
)

func TestPendingSecretChangesExactlyWithWhatItDependsOn(t *testing.T) {
	keys := flowtest.Keys(t)
	ann := store.Account{ID: "ann", NotBefore: time.Unix(1000, 0)}
	here := flow.Browser{ID: "laptop", Salt: "salt"}
	want := pendingSecret(keys, ann, here, []string{"b", "a"})
	if len(want) != 20 {
		t.Fatalf("%d bytes, want 20", len(want))
	}

	same := ann
	same.UserName, same.Email, same.UpdatedAt = "renamed", "new@acme.example", time.Unix(2000, 0)
	same.NotBefore = ann.NotBefore.In(time.FixedZone("", 3600))
	if got := pendingSecret(keys, same, here, []string{"a", "b"}); !bytes.Equal(got, want) {
		t.Error("it changed with a name, a time zone or the order of the authenticators")
	}

	bob, reset := ann, ann
	bob.ID = "bob"
	reset.NotBefore = time.Unix(1001, 0)
	different := map[string][]byte{
		"another account":       pendingSecret(keys, bob, here, []string{"a", "b"}),
		"after a reset":         pendingSecret(keys, reset, here, []string{"a", "b"}),
		"another browser":       pendingSecret(keys, ann, flow.Browser{ID: "phone", Salt: "salt"}, []string{"a", "b"}),
		"another salt":          pendingSecret(keys, ann, flow.Browser{ID: "laptop", Salt: "new"}, []string{"a", "b"}),
		"one authenticator":     pendingSecret(keys, ann, here, []string{"a"}),
		"no authenticator":      pendingSecret(keys, ann, here, nil),
		"parts that move over":  pendingSecret(keys, ann, flow.Browser{ID: "laptops", Salt: "alt"}, []string{"a", "b"}),
		"ids that run together": pendingSecret(keys, ann, here, []string{"ab"}),
	}
	for name, got := range different {
		if bytes.Equal(got, want) {
			t.Errorf("%s: the same secret", name)
		}
	}
}

func TestLeftBehindKnowsWhatThisBrowserShowed(t *testing.T) {
	keys := flowtest.Keys(t)
	ann := store.Account{ID: "ann"}
	laptop, phone := flow.Browser{ID: "laptop", Salt: "s"}, flow.Browser{ID: "phone", Salt: "s"}
	shownHere := pendingSecret(keys, ann, laptop, nil)
	confirmedThere := Entry{ID: "one", Secret: pendingSecret(keys, ann, phone, nil)}

	holds := func(entries []Entry, secret []byte) bool {
		for _, e := range entries {
			if bytes.Equal(e.Secret, secret) {
				return true
			}
		}
		return false
	}
	older := leftBehind(keys, ann, laptop, []Entry{confirmedThere})
	if !holds(older, shownHere) {
		t.Error("the secret that was shown here and not confirmed is not known")
	}
	if !holds(older, pendingSecret(keys, ann, laptop, []string{"one"})) {
		t.Error("the secret of an enrolment that is pending now is not known")
	}
	if got := leftBehind(keys, ann, phone, []Entry{confirmedThere}); holds(got, confirmedThere.Secret) {
		t.Error("the bound secret counts as left behind")
	}
	if got := leftBehind(keys, ann, flow.Browser{ID: "laptop", Salt: "new"}, []Entry{confirmedThere}); holds(got, shownHere) {
		t.Error("a new salt does not forget")
	}
}

func TestOtpauthURIIsReadBackByAnotherImplementation(t *testing.T) {
	secret := []byte("twenty bytes exactly")
	cases := []struct{ name, issuer, account, wantIssuer, wantAccount string }{
		{"plain", "Anteroom", "ann@acme.example", "Anteroom", "ann@acme.example"},
		{"spaces", "Acme Sign-in", "Ann Example", "Acme Sign-in", "Ann Example"},
		{"characters with a meaning", "A&B=C?#%+/", "a+b%41@x.example", "A&B=C?#%+/", "a+b%41@x.example"},
		{"colons would split the label", "Acme: Sign-in", "ann:example", "Acme Sign-in", "ann example"},
		{"other scripts", "Überprüfung", "安@例え.example", "Überprüfung", "安@例え.example"},
		{"line breaks", "Acme\r\nSign-in", "ann\texample", "Acme Sign-in", "ann example"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			uri := otpauthURI(c.issuer, c.account, secret)
			if strings.ContainsAny(uri, " +\"'<>\r\n") {
				t.Errorf("%q holds characters that apps read differently", uri)
			}
			key, err := otp.NewKeyFromURL(uri)
			if err != nil {
				t.Fatal(err)
			}
			if key.Type() != "totp" || key.Issuer() != c.wantIssuer || key.AccountName() != c.wantAccount {
				t.Errorf("read back as %q %q %q from %s", key.Type(), key.Issuer(), key.AccountName(), uri)
			}
			raw, err := base32Text.DecodeString(key.Secret())
			if err != nil || !bytes.Equal(raw, secret) {
				t.Errorf("secret %q, %v", key.Secret(), err)
			}
			if key.Period() != 30 || key.Digits() != 6 || key.Algorithm() != otp.AlgorithmSHA1 {
				t.Errorf("period %d, digits %d, algorithm %v", key.Period(), key.Digits(), key.Algorithm())
			}
			u, err := url.Parse(uri)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"algorithm", "digits", "period"} {
				if !u.Query().Has(name) {
					t.Errorf("%s is not written out", name)
				}
			}
		})
	}
}

func TestLabelsAreShortenedToWhatAScannableCodeHolds(t *testing.T) {
	for _, long := range []string{strings.Repeat("a", 300), strings.Repeat("例", 100), strings.Repeat("é", 64) + "@x"} {
		got := label(long)
		if len(escape(got)) > maxLabel || !strings.HasSuffix(got, "…") || !utf8.ValidString(got) {
			t.Errorf("label(%q) = %q, %d bytes escaped", long, got, len(escape(got)))
		}
	}
	if got := label("ann@acme.example"); got != "ann@acme.example" {
		t.Errorf("a short label became %q", got)
	}
}

func FuzzOtpauthURI(f *testing.F) {
	f.Add("Anteroom", "ann@acme.example")
	f.Add("A:B", "\xff\x00…")
	f.Fuzz(func(t *testing.T, issuer, account string) {
		uri := otpauthURI(issuer, account, annsKey)
		if len(uri) > 600 {
			t.Errorf("%d bytes", len(uri))
		}
		if u, err := url.Parse(uri); err != nil || u.Scheme != "otpauth" || u.Host != "totp" || len(u.Query()) != 5 {
			t.Errorf("%q parses to %v, %v", uri, u, err)
		}
		if strings.Count(uri[len("otpauth://"):], ":") != 1 {
			t.Errorf("%q does not have one colon in its label", uri)
		}
	})
}

func ExampleParseCode() {
	fmt.Println(ParseCode(" 123 456 "))
	// Output: 123456 true
}
