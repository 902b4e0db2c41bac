package admin

import (
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Base is the path below which everything here is served.
const Base = "/admin/api/v1"

// Route is one line of the table.
type Route struct {
	Method  string
	Path    string // below Base; {name} is a path parameter
	Summary string
	Query   []string     // parameters that are understood; others are mistakes
	In      reflect.Type // of the JSON body; nil: none
	Out     reflect.Type // of the JSON answer; nil: not JSON
	slow    bool         // as large as the installation: the listener's time limits do not hold
	serve   func(a *API, w http.ResponseWriter, c call) error
}

// Routes returns the table of everything that administration can do.
func Routes() []Route {
	paging := []string{"limit", "after"}
	return slices.Concat([]Route{
		get("/accounts", "List accounts, by id", (*API).listAccounts, append(paging, "name")...),
		post("/accounts/invite", "Invite somebody to an application", (*API).invite),
		{Method: http.MethodPost, Path: "/accounts/import", Summary: "Move people in: one JSON object a line", slow: true, serve: (*API).importAccounts, Out: reflect.TypeFor[ImportResult]()},
		get("/accounts/{account}", "Show an account (by id, user name or e-mail address)", (*API).showAccount),
		patch("/accounts/{account}", "Change names, organisation and profile", (*API).changeAccount),
		act("/accounts/{account}/disable", "Keep an account out", (*API).disable),
		act("/accounts/{account}/enable", "Let a disabled account in again", (*API).enable),
		act("/accounts/{account}/end-sessions", "Sign an account out everywhere", (*API).endSessions),
		post("/accounts/{account}/reset-mfa", "Remove the second factor", (*API).resetMFA),
		post("/accounts/{account}/invalidate-password", "End a password that somebody else may know; a link to choose a new one is mailed", (*API).invalidatePassword),
		get("/accounts/{account}/assignments", "List the access of an account", (*API).listAccess),
		post("/accounts/{account}/assignments", "Give access, or a role for an organisation", (*API).assign),
		remove("/accounts/{account}/assignments", "Take access or a role away", (*API).unassign, "application", "organisation", "role", "all"),

		get("/organisations", "List organisations, by id", (*API).listOrganisations, paging...),
		post("/organisations", "Make an organisation", (*API).createOrganisation),
		get("/organisations/{organisation}", "Show an organisation", (*API).showOrganisation),
		patch("/organisations/{organisation}", "Rename or move an organisation", (*API).changeOrganisation),
	}, applicationRoutes(paging), []Route{
		get("/clients", "List clients, by id", (*API).listClients, append(paging, "application")...),
		post("/clients", "Register a client; its secret is shown once", (*API).registerClient),
		get("/clients/{client}", "Show a client", (*API).showClient),
		patch("/clients/{client}", "Change a client", (*API).changeClient),
		remove("/clients/{client}", "Delete a client and end its grants", (*API).deleteClient),
		post("/clients/{client}/rotate-secret", "Make a new secret; it is shown once", (*API).rotateSecret),

		get("/client-checks", "Say what clients still lack for what they are registered as", (*API).checkClients, paging...),
		get("/registration-tokens", "List tokens that let their holders register clients, by id", (*API).listRegistrationTokens, paging...),
		post("/registration-tokens", "Make a token that lets its holder register clients; it is shown once", (*API).createRegistrationToken),
		remove("/registration-tokens/{token}", "Revoke such a token", (*API).revokeRegistrationToken),

		post("/clients/{client}/revoke", "End everything that a client holds; it stays registered", (*API).revokeClient),
		get("/grants", "List the live grants of an account or a session, newest first", (*API).listGrants, "account", "session", "client"),
		post("/grants/{grant}/revoke", "End a grant with its tokens", (*API).revokeGrant),
		post("/sessions/{session}/end", "Sign one browser out, and end what was got with it", (*API).endSession),

		get("/keys", "List signing keys, oldest first", (*API).listKeys),
		post("/keys/rotate", "Make new signing keys", (*API).rotateKeys),
		remove("/keys/{key}", "Withdraw a signing key that was stolen: what it signed counts no more", (*API).withdrawKey),
		get("/audit", "List audit entries, oldest first", (*API).listAudit, append(paging, "account", "type", "since", "until", "last")...),
		slow(post("/audit/verify", "Walk the chain of the audit log", (*API).verifyAudit)),
		get("/mail", "List mail that waits or was given up", (*API).listMail, paging...),
		post("/mail/test", "Send a test message now", (*API).testMail),
		{Method: http.MethodPost, Path: "/backup", Summary: "Stream a consistent copy of the store", slow: true, serve: (*API).backup},
	})
}

func applicationRoutes(paging []string) []Route {
	return []Route{
		get("/applications", "List applications, by id", (*API).listApplications, paging...),
		post("/applications", "Make an application", (*API).createApplication),
		get("/applications/{application}", "Show an application", (*API).showApplication),
		patch("/applications/{application}", "Change an application or its policy", (*API).changeApplication),
		remove("/applications/{application}", "Delete an application with all that belongs to it", (*API).deleteApplication),
		get("/applications/{application}/roles", "List the roles of an application", (*API).listRoles),
		put("/applications/{application}/roles/{role}", "Define a role, or describe it anew", (*API).putRole),
		remove("/applications/{application}/roles/{role}", "Delete a role, and take it from everyone", (*API).deleteRole),
		get("/applications/{application}/assignments", "List who may enter, by account", (*API).listPeople, paging...),
		get("/applications/{application}/terms", "List the versions of the terms", (*API).listTerms),
		post("/applications/{application}/terms", "Publish a new version of the terms", (*API).publishTerms),
		act("/applications/{application}/terms/withdraw", "Ask for no terms from now on", (*API).withdrawTerms),
		get("/applications/{application}/terms/{version}", "Show a version of the terms", (*API).showTerms),
	}
}

func get[Out any](path, summary string, f func(*API, call) (Out, error), query ...string) Route {
	return Route{Method: http.MethodGet, Path: path, Summary: summary, Query: query, Out: reflect.TypeFor[Out](), serve: answer(http.StatusOK, f)}
}

func act[Out any](path, summary string, f func(*API, call) (Out, error)) Route {
	return Route{Method: http.MethodPost, Path: path, Summary: summary, Out: reflect.TypeFor[Out](), serve: answer(http.StatusOK, f)}
}

func remove[Out any](path, summary string, f func(*API, call) (Out, error), query ...string) Route {
	return Route{Method: http.MethodDelete, Path: path, Summary: summary, Query: query, Out: reflect.TypeFor[Out](), serve: answer(http.StatusOK, f)}
}

func post[In, Out any](path, summary string, f func(*API, call, In) (Out, error)) Route {
	return withBody(http.MethodPost, path, summary, f)
}

func put[In, Out any](path, summary string, f func(*API, call, In) (Out, error)) Route {
	return withBody(http.MethodPut, path, summary, f)
}

func patch[In, Out any](path, summary string, f func(*API, call, In) (Out, error)) Route {
	return withBody(http.MethodPatch, path, summary, f)
}

func withBody[In, Out any](method, path, summary string, f func(*API, call, In) (Out, error)) Route {
	return Route{
		Method: method, Path: path, Summary: summary, In: reflect.TypeFor[In](), Out: reflect.TypeFor[Out](),
		serve: answer(http.StatusOK, func(a *API, c call) (Out, error) {
			var in In
			if err := decode(c.Request, &in); err != nil {
				var none Out
				return none, err
			}
			return f(a, c, in)
		}),
	}
}

func slow(r Route) Route {
	r.slow = true
	return r
}

func answer[Out any](status int, f func(*API, call) (Out, error)) func(*API, http.ResponseWriter, call) error {
	return func(a *API, w http.ResponseWriter, c call) error {
		out, err := f(a, c)
		if err != nil {
			return err
		}
		write(w, "application/json", status, out)
		return nil
	}
}

// Handler serves the table. It expects full paths, Base included.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, route := range Routes() {
		mux.Handle(route.Method+" "+Base+route.Path, a.edge(route))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h, pattern := mux.Handler(r); pattern == "" {
			a.unrouted(w, r, h)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// edge checks what is the same for all requests.
func (a *API) edge(route Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		actor, ok := actorOf(r)
		if !ok {
			a.fail(w, r, problem(http.StatusUnauthorized, "unauthenticated", "Nobody is signed in to administration."))
			return
		}
		if err := checkQuery(r, route.Query); err != nil {
			a.fail(w, r, err)
			return
		}
		if route.slow {
			unhurried(w)
		}
		if err := route.serve(a, w, call{Request: r, ctx: r.Context(), actor: actor}); err != nil {
			a.fail(w, r, err)
		}
	})
}

// unhurried lifts the time limits that the listener sets.
func unhurried(w http.ResponseWriter) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{})  // without HTTP there is no limit
	_ = control.SetWriteDeadline(time.Time{}) // likewise
}

func checkQuery(r *http.Request, known []string) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return problem(http.StatusBadRequest, "invalid-input", "The query cannot be read. Check its escapes.")
	}
	var found mistakes
	for name, all := range values {
		switch {
		case !slices.Contains(known, name):
			found.add(name, "there is no such parameter")
		case len(all) > 1:
			found.add(name, "is there twice")
		case !utf8.ValidString(all[0]) || strings.ContainsRune(all[0], 0):
			found.add(name, "contains characters that cannot be read")
		}
	}
	slices.SortFunc(found, func(a, b Mistake) int { return strings.Compare(a.Field, b.Field) })
	return found.problem()
}

// unrouted answers what the table does not have, in our form. The standard
// library's handler knows whether another method would do.
func (a *API) unrouted(w http.ResponseWriter, r *http.Request, h http.Handler) {
	probe := &prober{header: http.Header{}}
	h.ServeHTTP(probe, r)
	switch {
	case probe.status == http.StatusMethodNotAllowed:
		allow := probe.header.Get("Allow")
		w.Header().Set("Allow", allow)
		a.fail(w, r, problem(http.StatusMethodNotAllowed, "method", "This address takes "+allow+"."))
	case probe.status >= 300 && probe.status < 400:
		w.Header().Set("Location", probe.header.Get("Location"))
		a.fail(w, r, problem(probe.status, "moved", "This is at another address."))
	default:
		a.fail(w, r, problem(http.StatusNotFound, "not-found", "There is nothing at this address. docs/admin-api.md lists what there is."))
	}
}

// prober keeps the status and forgets the page.
type prober struct {
	header http.Header
	status int
}

func (p *prober) Header() http.Header         { return p.header }
func (p *prober) WriteHeader(status int)      { p.status = status }
func (p *prober) Write(b []byte) (int, error) { return len(b), nil }
