package arch

// A Room is a folder of the module with everything below it, unless a longer
// path has a row of its own.
type Room struct {
	Path string
	// May lists the rooms it may import besides itself. "internal" stands for
	// Plumbing, "*" for everything but what Never names.
	May   []string
	Never []string
	// Why completes the sentence of a violation: "<room> may not import <x>: <why>".
	Why string
}

// Plumbing is what "internal" means in a row of Rooms: rooms that no reader of
// the flow needs first, and that know no rule of a sign-in.
var Plumbing = []string{"internal/audit", "internal/fetch", "internal/mail", "internal/notice", "internal/rar", "internal/seal", "internal/web"}

const (
	nothing  = "it stands at the bottom and imports nothing of ours"
	step     = "steps know the hub (flow) and what is below it, never each other and never the provider"
	backends = "only cmd chooses a backend; everybody else knows the contract (store)"
	domain   = "it knows the nouns (store), the pages (templates) and plumbing; rooms of its own layer are reached through small interfaces"
)

// Rooms is the table "who may know whom". Order does not matter.
var Rooms = []Room{
	{Path: "config", Why: nothing},
	{Path: "store", Why: nothing},
	{Path: "templates", Why: nothing},
	{Path: "internal/fetch", Why: nothing},
	{Path: "internal/seal", Why: nothing},
	{Path: "internal/web", May: []string{"templates"}, Why: "request plumbing knows the error page and nothing else"},

	{Path: "store/gather", Why: nothing},
	{Path: "store/units", May: []string{"store"}, Why: "what stores have in common knows the contract and nothing else"},
	{Path: "store/bolt", May: []string{"store", "store/gather", "store/units"}, Why: "a backend knows the contract it fulfils and nothing else"},
	{Path: "store/postgres", May: []string{"store", "store/gather", "store/units"}, Why: "a backend knows the contract it fulfils and nothing else"},
	{Path: "store/storetest", May: []string{"store"}, Why: "the contract test knows the contract, not the backends that it tests"},
	{Path: "internal/audit", May: []string{"store", "templates", "internal"}, Why: domain},
	{Path: "internal/notice", May: []string{"store", "internal/seal"}, Why: domain},
	{Path: "internal/rar", May: []string{"store", "templates"}, Why: domain},
	{Path: "internal/mail", May: []string{"store", "templates", "internal"}, Why: domain},

	{Path: "access", May: []string{"store", "templates", "internal"}, Why: domain},
	{Path: "account", May: []string{"store", "templates", "internal"}, Why: domain},
	{Path: "flow", May: []string{"store", "templates", "internal"}, Why: domain},
	{Path: "flow/flowtest", May: []string{"flow", "store", "store/bolt", "templates", "internal"}, Why: "the tests of rooms stand on it: it knows the hub and what is below it"},

	{Path: "login", May: []string{"account", "access", "flow", "store", "templates", "internal"}, Why: step},
	{Path: "mfa", May: []string{"account", "access", "flow", "store", "templates", "internal"}, Why: step},
	{Path: "consent", May: []string{"account", "access", "flow", "store", "templates", "internal"}, Why: step},
	{Path: "provider", May: []string{"account", "access", "flow", "store", "templates", "internal"}, Why: "the protocol side never knows the steps of a sign-in"},
	{Path: "admin", May: []string{"account", "access", "store", "templates", "internal"}, Why: "administration knows accounts and access, not the sign-in"},

	{Path: "server", May: []string{"*"}, Never: []string{"flow/flowtest", "store/bolt", "store/postgres", "cmd", "e2e", "internal/demo", "internal/bench"}, Why: backends},

	{Path: "cmd", May: []string{"*"}},
	{Path: "e2e", May: []string{"*"}},
	{Path: "internal/demo", May: []string{"*"}},
	{Path: "internal/bench", May: []string{"*"}},
	{Path: "internal/arch", Why: "the import test knows the rules and reads the rest as text"},
}

// InTests is what the tests of any room may import besides: real backends, since
// nobody mocks the store, the plumbing, and a hub to stand on.
var InTests = []string{"flow/flowtest", "store", "store/bolt", "store/postgres", "store/storetest", "templates", "internal"}

// A Library is a module that one room alone may import, so that it can be
// replaced there without anybody else noticing.
type Library struct {
	Path string // a module path; packages below it count too
	Room string
}

// Libraries is the table "one library, one room".
var Libraries = []Library{
	{Path: "github.com/ory/fosite", Room: "provider"},
	{Path: "go.etcd.io/bbolt", Room: "store/bolt"},
	{Path: "github.com/jackc/pgx", Room: "store/postgres"},
	{Path: "github.com/pquerna/otp", Room: "mfa"},
	{Path: "github.com/yeqown/go-qrcode", Room: "mfa"},
	{Path: "github.com/go-webauthn/webauthn", Room: "mfa"},
	{Path: "github.com/gorilla/sessions", Room: "flow"},
	{Path: "github.com/gorilla/mux", Room: "server"},
	{Path: "github.com/wneessen/go-mail", Room: "internal/mail"},
}
