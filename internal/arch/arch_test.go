package arch

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

func TestEveryImportOfThisModuleIsInTheTable(t *testing.T) {
	wrong, err := Check(os.DirFS("../.."))
	if err != nil {
		t.Fatalf("read the module: %v", err)
	}
	for _, sentence := range wrong {
		t.Error(sentence)
	}
}

func TestCheckFindsWhatTheTableForbids(t *testing.T) {
	const fosite, bolt = "github.com/ory/fosite", "go.etcd.io/bbolt"
	cases := []struct {
		name, file, imports string
		want                string // part of the sentence; empty: allowed
	}{
		{"a step may know the hub", "login/login.go", "anteroom/flow", ""},
		{"a step never knows another step", "login/login.go", "anteroom/mfa", "login may not import mfa: steps know the hub"},
		{"a step never knows the provider", "mfa/totp.go", "anteroom/provider", "mfa may not import provider"},
		{"the rule holds in tests", "consent/terms_test.go", "anteroom/login", "consent may not import login"},
		{"and below a room", "login/inner/x.go", "anteroom/consent", "login may not import consent"},
		{"and for packages below another", "consent/terms.go", "anteroom/mfa/inner", "consent may not import mfa"},
		{"the bottom imports nothing of ours", "store/names.go", "anteroom/templates", "store may not import templates"},
		{"config neither", "config/config.go", "anteroom/store", "config may not import store"},
		{"a backend knows the contract", "store/bolt/bolt.go", "anteroom/store", ""},
		{"and nothing else", "store/bolt/bolt.go", "anteroom/internal/audit", "store/bolt may not import internal/audit"},
		{"rooms of one layer do not know each other", "account/invite.go", "anteroom/access", "account may not import access"},
		{"plumbing is open to the layers above", "account/invite.go", "anteroom/internal/audit", ""},
		{"the bench is not plumbing", "account/invite.go", "anteroom/internal/bench", "account may not import internal/bench"},
		{"the server knows no backend", "server/server.go", "anteroom/store/bolt", "server may not import store/bolt: only cmd chooses a backend"},
		{"the server never knows the demo", "server/server.go", "anteroom/internal/demo", "server may not import internal/demo"},
		{"cmd knows everything", "cmd/anteroom/serve.go", "anteroom/store/bolt", ""},
		{"tests run on the real store", "login/login_test.go", "anteroom/store/bolt", ""},
		{"code does not", "login/login.go", "anteroom/store/bolt", "login may not import store/bolt"},
		{"a room that nobody entered", "shiny/new.go", "anteroom/store", "the room shiny is not in the table"},
		{"fosite stays in its room", "flow/hub.go", fosite, "one library, one room, and that one lives in provider"},
		{"with its packages", "server/server.go", fosite + "/handler/oauth2", "lives in provider"},
		{"where it may be", "provider/authorize.go", fosite + "/handler/oauth2", ""},
		{"a library in a test counts", "mfa/totp_test.go", bolt, "lives in store/bolt"},
		{"cmd is no exception", "cmd/anteroom/keys.go", bolt, "lives in store/bolt"},
		{"major versions count", "store/bolt/bolt.go", "github.com/jackc/pgx/v5", "lives in store/postgres"},
		{"a name that only begins alike does not", "flow/hub.go", "github.com/ory/fositex", ""},
		{"the standard library is free", "store/names.go", "net/http", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			source := "package x\n\nimport _ \"" + c.imports + "\"\n"
			got, err := Check(fstest.MapFS{c.file: {Data: []byte(source)}})
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case c.want == "" && len(got) != 0:
				t.Errorf("got %q, want nothing", got)
			case c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want) || !strings.HasPrefix(got[0], c.file)):
				t.Errorf("got %q, want one sentence with %q", got, c.want)
			}
		})
	}
}

func TestCheckReadsFilesBehindBuildTagsAndSkipsTestdata(t *testing.T) {
	forbidden := "package x\n\nimport _ \"anteroom/mfa\"\n"
	got, err := Check(fstest.MapFS{
		"login/faults.go":         {Data: []byte("//go:build faults\n\n" + forbidden)},
		"login/testdata/old.go":   {Data: []byte(forbidden)},
		".git/hooks/something.go": {Data: []byte(forbidden)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || !strings.HasPrefix(got[0], "login/faults.go") {
		t.Errorf("got %q, want only login/faults.go", got)
	}
}

func TestCheckFailsOnAFileThatIsNotGo(t *testing.T) {
	if _, err := Check(fstest.MapFS{"login/broken.go": {Data: []byte("not go")}}); err == nil {
		t.Error("a file that does not parse passed")
	}
}

func TestTheTableNamesEachRoomOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Rooms {
		if seen[r.Path] {
			t.Errorf("%s has two rows", r.Path)
		}
		seen[r.Path] = true
	}
	for _, r := range Rooms {
		for _, name := range append(append([]string{}, r.May...), r.Never...) {
			if name != "*" && name != "internal" && !seen[name] {
				t.Errorf("the row of %s names %s, which has no row", r.Path, name)
			}
		}
	}
}
