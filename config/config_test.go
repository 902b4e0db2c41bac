package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write golden files")

func none(string) string { return "" }

func env(pairs map[string]string) func(string) string {
	return func(name string) string { return pairs[name] }
}

// write puts a configuration into a fresh folder and returns its path.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "anteroom.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaultLacksOnlyTheIssuer(t *testing.T) {
	c := Default()
	mistakes, ok := AsMistakes(c.Validate())
	if !ok || len(mistakes) != 1 || mistakes[0].Key != "issuer" {
		t.Fatalf("mistakes of the default: %v, want one about the issuer", mistakes)
	}
	c.Issuer = "https://id.example.com"
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
}

func TestFiveMistakesAreReportedAtOnceWithTheirFix(t *testing.T) {
	path := write(t, `issuer: http://id.example.com/
listen: 8080
smpt:
  host: mail.example.com
lifetimes:
  code: 1 minute
password:
  parallel: 5000
`)
	_, err := Load(path, none)
	mistakes, ok := AsMistakes(err)
	if !ok {
		t.Fatalf("got %v, want mistakes", err)
	}
	want := []string{
		"anteroom.yaml:1: issuer: the slash at the end",
		"anteroom.yaml:2: listen: \"8080\" is not an address with a port",
		"anteroom.yaml:3: smpt: there is no such key; did you mean smtp?",
		"anteroom.yaml:6: lifetimes.code: \"1 minute\" is not a time; write a time from 10s to 1m",
		"anteroom.yaml:8: password.parallel: 5000 is out of range; write a number from 0 to 1024",
	}
	if len(mistakes) != len(want) {
		t.Fatalf("got %d mistakes, want %d:\n%v", len(mistakes), len(want), err)
	}
	for i, m := range mistakes {
		if !strings.HasPrefix(m.String(), want[i]) || m.Fix == "" {
			t.Errorf("mistake %d:\n got %s\nwant %s...", i, m, want[i])
		}
	}
}

func TestLoadReadsEveryKindOfValue(t *testing.T) {
	path := write(t, `
issuer: "https://id.example.com"
listen: :8443
trusted_proxies: [10.0.0.0/8, 192.0.2.7, "2001:db8::/32"]
data: state
smtp:
  host: mail.example.com
  port: 465
  security: tls
  from: Sign-in <no-reply@example.com>
lifetimes: {session: 1d12h, code: 45s}
operations:
  listen: ""
keys:
log:
  format: json
`)
	c, err := Load(path, none)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(path)
	wantProxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("2001:db8::/32")}
	switch {
	case !slices.Equal(c.TrustedProxies, wantProxies):
		t.Errorf("trusted proxies %v, want %v", c.TrustedProxies, wantProxies)
	case c.DataDir != filepath.Join(dir, "state"):
		t.Errorf("data folder %s, want it beside the file", c.DataDir)
	case c.SMTP.Port != 465 || c.SMTP.Security != SecurityTLS:
		t.Errorf("smtp %+v", c.SMTP)
	case c.Lifetimes.Session != 36*time.Hour || c.Lifetimes.Code != 45*time.Second:
		t.Errorf("lifetimes %+v", c.Lifetimes)
	case c.Operations.Listen != "":
		t.Errorf("operations listener %q, want it turned off", c.Operations.Listen)
	case c.Lifetimes.Reset != time.Hour || c.Keys.RotateEvery != 90*day:
		t.Errorf("defaults lost: %+v %+v", c.Lifetimes, c.Keys)
	}
}

func TestTheEnvironmentWins(t *testing.T) {
	path := write(t, "issuer: https://file.example.com\nlisten: nonsense\n")
	c, err := Load(path, env(map[string]string{
		"ANTEROOM_ISSUER":          "https://env.example.com",
		"ANTEROOM_LISTEN":          ":9000",
		"ANTEROOM_TRUSTED_PROXIES": "10.0.0.0/8,192.0.2.1",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if c.Issuer != "https://env.example.com" || c.Listen != ":9000" || len(c.TrustedProxies) != 2 {
		t.Errorf("got %s %s %v", c.Issuer, c.Listen, c.TrustedProxies)
	}
	_, err = Load("", env(map[string]string{"ANTEROOM_ISSUER": "https://env.example.com", "ANTEROOM_LOG_LEVEL": "loud"}))
	if err == nil || !strings.Contains(err.Error(), "ANTEROOM_LOG_LEVEL: log.level") {
		t.Errorf("got %v, want a mistake that names the variable", err)
	}
}

func TestSecretsComeFromFiles(t *testing.T) {
	path := write(t, "issuer: https://id.example.com\nsmtp:\n  host: mail.example.com\n  from: a@example.com\n  username: u\n  password_file: pw\n")
	secret := filepath.Join(filepath.Dir(path), "pw")
	if _, err := Load(path, none); err == nil || !strings.Contains(err.Error(), "smtp.password_file: the secret file cannot be read") {
		t.Errorf("missing secret file: %v", err)
	}
	if err := os.WriteFile(secret, []byte("correct horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path, none)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.SMTP.Password.Reveal(); got != "correct horse" {
		t.Errorf("password %q", got)
	}
	both := write(t, "issuer: https://id.example.com\nsmtp:\n  host: h.example\n  from: a@example.com\n  username: u\n  password: x\n  password_file: "+secret+"\n")
	if _, err := Load(both, none); err == nil || !strings.Contains(err.Error(), "keep one of the two") {
		t.Errorf("password and file: %v", err)
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	c := Default()
	c.SMTP.Password = "correct horse"
	data, _ := json.Marshal(c.SMTP)
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "password", c.SMTP.Password, "all", c.SMTP)
	for how, text := range map[string]string{
		"%v": fmt.Sprintf("%v %+v %s", c, c, c.SMTP.Password), "%#v": fmt.Sprintf("%#v", c), "json": string(data), "slog": b.String(),
	} {
		if strings.Contains(text, "horse") {
			t.Errorf("%s shows the password: %s", how, text)
		}
	}
}

func TestMistakesByValue(t *testing.T) {
	for _, tc := range []struct{ name, yaml, want string }{
		{"no issuer", "listen: :80", "issuer: the public URL of this service is not set"},
		{"http issuer", "issuer: http://id.example.com", "write https://id.example.com"},
		{"issuer with path", "issuer: https://example.com/id", "write https://example.com"},
		{"issuer with query", "issuer: https://example.com?x", "no user name, query or fragment"},
		{"issuer in capitals", "issuer: https://ID.example.com", "write https://id.example.com"},
		{"issuer with usual port", "issuer: https://id.example.com:443", "write https://id.example.com"},
		{"issuer without scheme", "issuer: id.example.com", "is not a URL"},
		{"other scheme", "issuer: ftp://id.example.com", "write https://id.example.com"},
		{"list for a value", "issuer: [https://id.example.com]", "one value, not a list"},
		{"keys for a value", "issuer:\n  url: https://id.example.com", "not keys of its own"},
		{"value for a section", "smtp: mail.example.com", "this is a section"},
		{"twice", "log:\n  level: info\n  level: warn", "there twice, first in line 2"},
		{"alias", "listen: &a :80\nlog:\n  level: *a", "anchors, aliases and tags are not used here"},
		{"not yaml", "issuer: [", "this is not YAML"},
		{"tab", "smtp:\n\thost: x", "this is not YAML"},
		{"a list", "- issuer", "not a list of keys and values"},
		{"two documents", "issuer: https://a.example\n---\nlisten: :80", "second document"},
		{"not utf-8", "issuer: \xff", "not text in UTF-8"},
		{"word in the wrong section", "smtp:\n  level: warn", "did you mean log.level?"},
		{"half of tls", "tls:\n  certificate: /x.pem", "certificate without a key"},
		{"missing certificate", "tls:\n  certificate: /nowhere/x.pem\n  key: /nowhere/x.key", "cannot be read"},
		{"certificates from nobody", "mutual_tls:\n  header: Client-Cert", "nobody is trusted"},
		{"certificates that nobody sees", "mutual_tls:\n  host: mtls.id.example.com", "neither this listener nor a proxy"},
		{"a URL for a host", "mutual_tls:\n  host: https://mtls.id.example.com", "is not a host name"},
		{"authorities of nothing", "mutual_tls:\n  ca: /nowhere/ca.pem", "certificates are not asked for"},
		{"missing authorities", "trusted_proxies: 10.0.0.0/8\nmutual_tls:\n  header: Client-Cert\n  ca: /nowhere/ca.pem", "cannot be read"},
		{"proxy", "trusted_proxies: [proxy.example.com]", "neither an address nor a network"},
		{"proxy with host bits", "trusted_proxies: 10.1.2.3/8", "neither an address nor a network"},
		{"a token that can be guessed", "registration:\n  mode: open\n  token: secret", "can be guessed"},
		{"issuers that are not there", "registration:\n  statement_issuers: /nowhere/issuers.json", "cannot be read"},
		{"clients of nobody", "client_documents:\n  application: tools", "nobody may publish"},
		{"clients of nothing", "client_documents:\n  hosts: any", "have no application"},
		{"a host that is a URL", "client_documents:\n  application: tools\n  hosts: https://tool.example.com", "is not a host name"},
		{"any and others", "client_documents:\n  application: tools\n  hosts: any tool.example.com", "is not a host name"},
		{"statements of nobody", "registration:\n  statements: required", "nobody's is believed"},
		{"an unknown mode", "registration:\n  mode: everybody", "registration.mode"},
		{"same listener twice", "listen: 127.0.0.1:9090", "address of the public listener"},
		{"port", "listen: localhost:99999", "is not a port"},
		{"another store", "store: mysql://user:pw@db/anteroom", "neither a file nor a PostgreSQL database"},
		{"postgres without a database", "store: postgres://user:pw@db", "names no database"},
		{"postgres with a raw password", "store: postgres://user:p%w@db/anteroom", "special characters of the password"},
		{"mail without sender", "smtp:\n  host: mail.example.com", "mails have no sender"},
		{"sender", "smtp:\n  from: nobody", "is not an e-mail address"},
		{"plain password", "smtp:\n  host: mail.example.com\n  from: a@b.example\n  username: u\n  password: p\n  security: none", "travel unprotected"},
		{"host with port", "smtp:\n  host: mail.example.com:25\n  from: a@b.example", "the port has its own key"},
		{"security", "smtp:\n  security: ssl", "write starttls, tls or none"},
		{"code for an hour", "lifetimes:\n  code: 1h", "1h is out of range; write a time from 10s to 1m"},
		{"negative", "lifetimes:\n  session: -5m", "out of range"},
		{"rotation", "keys:\n  publish_ahead: 20d\n  rotate_every: 10d", "replaced before it signs"},
		{"hashes", "password:\n  parallel: many", "is not a whole number"},
		{"colour", "product:\n  colour: blue", "is not a colour"},
		{"colon", `product: {totp_issuer: "A: B"}`, "cannot show a name with a colon"},
		{"logo", "product:\n  logo_url: http://example.com/x.png", "not an https URL"},
		{"line break", `product: {name: "a\nb"}`, "more than one line"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Load(write(t, tc.yaml), none)
			if mistakes, ok := AsMistakes(err); !ok || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v (%d mistakes), want one with %q", err, len(mistakes), tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "user:pw") {
				t.Error("the mistake shows a secret")
			}
		})
	}
}

func TestIssuersThatAreFine(t *testing.T) {
	for _, issuer := range []string{"https://id.example.com", "https://id.example.com:8443", "http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:8080", "http://id.localhost"} {
		c := Default()
		c.Issuer = issuer
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", issuer, err)
		}
		if c.Secure() != strings.HasPrefix(issuer, "https") {
			t.Errorf("%s: Secure() = %v", issuer, c.Secure())
		}
	}
}

func TestMissingFileSaysHowToMakeOne(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "no.yaml"), none)
	if err == nil || !strings.Contains(err.Error(), "anteroom init --config") {
		t.Errorf("got %v", err)
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{"90s": 90 * time.Second, "30d": 30 * day, "1d12h": 36 * hour, "1h30m": 90 * minute, "0d": 0} {
		got, err := parseDuration(text)
		if err != nil || got != want {
			t.Errorf("parseDuration(%q) = %v, %v, want %v", text, got, err, want)
		}
		if back, err := parseDuration(formatDuration(want)); err != nil || back != want {
			t.Errorf("parseDuration(formatDuration(%v)) = %v, %v", want, back, err)
		}
	}
	for _, text := range []string{"", "d", "-1d", "1.5d", "1d1d", "10", "1d-1h", "1d25h", "99999999d"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("parseDuration(%q) = %v, want an error", text, got)
		}
	}
}

func TestTheSampleIsValidAndNamesEveryKey(t *testing.T) {
	var b strings.Builder
	if err := WriteSample(&b, map[string]string{"issuer": "https://id.example.com"}); err != nil {
		t.Fatal(err)
	}
	c, err := Load(write(t, b.String()), none)
	if err != nil {
		t.Fatal(err)
	}
	def := Default()
	for _, s := range def.settings() {
		if !strings.Contains(b.String(), lastWord(s.key)) || s.doc == "" {
			t.Errorf("the sample does not explain %s", s.key)
		}
	}
	if c.Listen != def.Listen || c.SMTP.Port != def.SMTP.Port {
		t.Errorf("the sample changes defaults: %+v", c)
	}
	golden(t, "testdata/sample.yaml", b.String())
}

func TestEveryCommentedLineOfTheSampleIsAccepted(t *testing.T) {
	dir := t.TempDir()
	var b strings.Builder
	if err := WriteSample(&b, map[string]string{"issuer": "https://id.example.com"}); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(b.String()) {
		bare := strings.Replace(line, "# ", "", 1)
		key, value, ok := strings.Cut(strings.TrimSpace(bare), ": ")
		switch {
		case !strings.Contains(line, "# ") || !ok || strings.Contains(key, " "):
		case strings.HasSuffix(key, "password_file") || key == "token_file":
			line = strings.Replace(bare, value, secret, 1)
		case key == "certificate" || key == "key" || key == "ca" || key == "statement_issuers": // their files must exist
		default:
			line = bare
		}
		lines = append(lines, line)
	}
	if _, err := Load(write(t, strings.Join(lines, "")), none); err != nil {
		t.Errorf("%v\n%s", err, strings.Join(lines, ""))
	}
}

func TestTheReferenceIsUpToDate(t *testing.T) {
	var b strings.Builder
	if err := WriteReference(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "../docs/configuration.md", b.String())
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Errorf("%s is out of date (%v); write it with: go test ./config -update", path, err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte("issuer: https://id.example.com\n"))
	f.Add([]byte("smtp: {host: x, port: 25}\nlog:\n  level: info\n"))
	f.Add([]byte("a: &x [1, *x]\n<<: *x\n? [k]\n: v\n"))
	f.Add([]byte("issuer: |\n  text\n--- !t\n..."))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, mistakes := parseYAML("f.yaml", data)
		c := Default()
		c.sources = map[string]string{}
		err := c.apply(entries, ".", mistakes)
		if err == nil {
			if err := c.Validate(); err != nil {
				t.Errorf("Load accepts what Validate refuses: %v", err)
			}
			return
		}
		all, ok := AsMistakes(err)
		if !ok {
			t.Fatalf("not mistakes: %v", err)
		}
		for _, m := range all {
			if m.What == "" || m.Fix == "" {
				t.Errorf("mistake without words: %#v", m)
			}
		}
	})
}

func TestNotesAreAboutWhatIsAllowedButWorthAThought(t *testing.T) {
	base := Default()
	base.Issuer, base.SMTP.Host, base.SMTP.From = "https://id.example.com", "mail.example.com", "a@example.com"
	for _, tc := range []struct {
		name   string
		change func(c *Config)
		want   string // "": no note
	}{
		{"behind a proxy on this machine", func(*Config) {}, ""},
		{"behind a known proxy", func(c *Config) {
			c.Listen, c.TrustedProxies = ":8080", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		}, ""},
		{"behind an unknown proxy", func(c *Config) { c.Listen = ":8080" }, "trusted_proxies"},
		{"own certificate", func(c *Config) { c.Listen, c.TLS = ":443", TLS{"a", "b"} }, ""},
		{"no mail", func(c *Config) { c.SMTP.Host = "" }, "smtp.host"},
		{"open metrics", func(c *Config) { c.Operations.Listen = ":9090" }, "operations.listen"},
		{"http", func(c *Config) { c.Issuer = "http://localhost:8080" }, "issuer is http"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := base
			tc.change(&c)
			notes := strings.Join(c.Notes(), "\n")
			if tc.want == "" && notes != "" || !strings.Contains(notes, tc.want) {
				t.Errorf("got %q, want a note about %q", notes, tc.want)
			}
		})
	}
}
