package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// RFC 6238 appendix B, SHA-1, shortened to six digits.
func TestCodeAgreesWithThePublishedVectors(t *testing.T) {
	const secret = "GEZD GNBV GY3T QOJQ gezdgnbvgy3tqojq" // "12345678901234567890"
	for at, want := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130",
	} {
		if got, err := Code(secret, time.Unix(at, 0)); err != nil || got != want {
			t.Errorf("at %d: got %s, %v, want %s", at, got, err, want)
		}
	}
}

func TestCodeAgreesWithOathtool(t *testing.T) {
	tool, err := exec.LookPath("oathtool")
	if err != nil {
		t.Skip("SKIPPED: oathtool is not installed (make test installs it)")
	}
	at := time.Now()
	out, err := exec.Command(tool, "--totp", "--base32", "--now", at.UTC().Format("2006-01-02 15:04:05 UTC"), "JBSWY3DPEHPK3PXP").Output()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Code("JBSWY3DPEHPK3PXP", at)
	if err != nil || got != strings.TrimSpace(string(out)) {
		t.Errorf("got %s, %v, oathtool says %s", got, err, out)
	}
}

func TestScanRefusesWhatAuthenticatorAppsMisread(t *testing.T) {
	secret, label, issuer, err := Scan("otpauth://totp/Anteroom:ann%40acme.example?secret=ABC&issuer=Anteroom&algorithm=SHA1&digits=6&period=30")
	if err != nil || secret != "ABC" || label != "Anteroom:ann@acme.example" || issuer != "Anteroom" {
		t.Errorf("got %q %q %q %v", secret, label, issuer, err)
	}
	for _, uri := range []string{"otpauth://hotp/x?secret=A", "otpauth://totp/x?secret=A&digits=8", "otpauth://totp/x", "https://x"} {
		if _, _, _, err := Scan(uri); err == nil {
			t.Errorf("%s was scanned", uri)
		}
	}
}

func TestVisitorSendsWhatABrowserSends(t *testing.T) {
	var got url.Values
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `<form action="send?i=1" method="post"><input type="hidden" name="h" value="hidden"><input name="typed" value="old">
			<input type="checkbox" name="off"><input type="checkbox" name="on" checked><textarea name="area">long</textarea>
			<input name="no" value="x" disabled><button id="a" name="which" value="a">A</button><button id="b" name="which" value="b">B</button></form>
			<a id="link" href="/linked">go</a><ul id="list"><li>one</li><li>two  words</li></ul><button id="lost">?</button>`)
	})
	mux.HandleFunc("POST /send", func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		got = r.Form
		http.SetCookie(w, &http.Cookie{Name: "c", Value: "1"})
		http.Redirect(w, r, "/linked", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /linked", func(w http.ResponseWriter, r *http.Request) {
		c, _ := r.Cookie("c")
		fmt.Fprintf(w, `<p id="arrived">%v</p>`, c)
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	ctx, v := t.Context(), NewVisitor()
	if err := v.Open(ctx, server.URL+"/"); err != nil {
		t.Fatal(err)
	}
	if items := v.Items("list"); len(items) != 2 || items[1] != "two words" {
		t.Errorf("items %q", items)
	}
	if err := v.Press(ctx, "b", url.Values{"nobody": {"x"}}); !errors.Is(err, ErrNoSuchElement) {
		t.Errorf("a field that is not there was filled in: %v", err)
	}
	if err := v.Press(ctx, "lost", nil); !errors.Is(err, ErrNoSuchElement) {
		t.Errorf("a button without a form was pressed: %v", err)
	}
	if err := v.Press(ctx, "b", url.Values{"typed": {"new"}}); err != nil {
		t.Fatal(err)
	}
	if want := "area=long&h=hidden&i=1&on=on&typed=new&which=b"; got.Encode() != want {
		t.Errorf("sent %s, want %s", got.Encode(), want)
	}
	if v.URL().Path != "/linked" || v.Text("arrived") != "c=1" {
		t.Errorf("at %s with %q", v.URL(), v.Text("arrived"))
	}
	if err := v.Back(ctx); err != nil || !v.Has("link") {
		t.Errorf("back: %v, at %s", err, v.URL())
	}
	other := v.Tab()
	if err := other.Open(ctx, server.URL+"/linked"); err != nil || other.Text("arrived") != "c=1" {
		t.Errorf("another tab has other cookies: %v %q", err, other.Text("arrived"))
	}
}
