package provider

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"anteroom/store"
)

// OpenID Connect Core section 8.1: the operator's clients follow the rules of
// those that register themselves.
func TestSubjectsOfTheOperatorsClients(t *testing.T) {
	site, fetcher := trusted(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode([]string{"https://a.example/cb", "https://b.example/cb"})
	}))
	r := newRig(t, func(o *Options) { o.Fetch = fetcher })
	client := func(kind, sector string, uris ...string) store.Client {
		c := store.Client{ID: "c", RedirectURIs: uris, Settings: object{}}
		for name, v := range map[string]string{"subject_type": kind, "sector_identifier_uri": sector} {
			if v != "" {
				c.Settings[name] = v
			}
		}
		return c
	}
	host := hostOf(site.URL)
	for name, c := range map[string]struct {
		client store.Client
		sector any    // that subjects are made for
		wrong  string // metadata that is wrong
	}{
		"nothing said":               {client("", "", "https://a.example/cb"), nil, ""},
		"public":                     {client("public", "", "https://a.example/cb", "https://b.example/cb"), nil, ""},
		"pairwise":                   {client("pairwise", "", "https://A.example/cb", "https://a.example/2"), "a.example", ""},
		"a sector":                   {client("pairwise", site.URL, "https://a.example/cb", "https://b.example/cb"), host, ""},
		"something else":             {client("secret", "", "https://a.example/cb"), nil, "subject_type"},
		"two hosts":                  {client("pairwise", "", "https://a.example/cb", "https://b.example/cb"), nil, "subject_type"},
		"no redirect URI":            {client("pairwise", ""), nil, "subject_type"},
		"no host":                    {client("pairwise", "", "com.example.app:/cb"), nil, "subject_type"},
		"a sector of others":         {client("pairwise", site.URL, "https://c.example/cb"), nil, "sector_identifier_uri"},
		"a sector that is not there": {client("pairwise", "https://10.0.0.1/s", "https://a.example/cb"), nil, "sector_identifier_uri"},
	} {
		c.client.Settings[settingSector] = "left over"
		wrong := r.p.SettleSubject(t.Context(), nil, &c.client)
		if (c.wrong == "") != (len(wrong) == 0) || (c.wrong != "" && wrong[c.wrong] == "") || c.client.Settings[settingSector] != c.sector {
			t.Errorf("%s: %v, sector %v", name, wrong, c.client.Settings[settingSector])
		}
	}
}

// OpenID Connect Core sections 2 and 12.2: a person's subject stays.
func TestSubjectsOfAClientStay(t *testing.T) {
	site, fetcher := trusted(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode([]string{"https://a.example/cb", "https://b.example/cb"})
	}))
	r := newRig(t, open, func(o *Options) { o.Fetch = fetcher })
	on := func(kind, uri string) store.Client {
		return store.Client{RedirectURIs: []string{uri}, Settings: object{"subject_type": kind}}
	}
	settle := func(before, after store.Client) string {
		if wrong := r.p.SettleSubject(t.Context(), nil, &before); len(wrong) > 0 {
			t.Fatal(wrong)
		}
		return r.p.SettleSubject(t.Context(), &before, &after)["subject_type"]
	}
	for name, c := range map[string]struct {
		before, after store.Client
		moves         bool
	}{
		"another address":      {on("pairwise", "https://a.example/1"), on("pairwise", "https://a.example/2"), false},
		"public elsewhere":     {on("public", "https://a.example/1"), on("public", "https://b.example/1"), false},
		"pairwise from now on": {on("public", "https://a.example/1"), on("pairwise", "https://a.example/1"), true},
		"public from now on":   {on("pairwise", "https://a.example/1"), on("public", "https://a.example/1"), true},
		"another host":         {on("pairwise", "https://a.example/1"), on("pairwise", "https://b.example/1"), true},
	} {
		if got := settle(c.before, c.after); (got != "") != c.moves || (c.moves && !strings.Contains(got, "stranger")) {
			t.Errorf("%s: %q", name, got)
		}
	}
	// The way to move: the sector stays.
	host := hostOf(site.URL)
	moved := on("pairwise", "https://b.example/cb")
	moved.Settings["sector_identifier_uri"] = site.URL
	if got := settle(on("pairwise", "https://"+host+"/1"), moved); got != "" {
		t.Errorf("the sector stays: %q", got)
	}
	// RFC 7592 section 2.2: a client that manages itself hears the same.
	c := r.send("POST", PathRegister, "", metadataWith(object{"subject_type": "pairwise"})).json
	uri, token := str(c["registration_client_uri"]), str(c["registration_access_token"])
	for name, change := range map[string]object{
		"public": {"subject_type": "public"}, "left out": {}, "another host": {"subject_type": "pairwise", "redirect_uris": []string{"https://b.example/cb"}},
	} {
		change["client_id"] = c["client_id"]
		r.wantError(r.send("PUT", uri, token, metadataWith(change)), 400, "invalid_client_metadata")
		if t.Failed() {
			t.Fatal(name)
		}
	}
	if res := r.send("PUT", uri, token, metadataWith(object{"client_id": c["client_id"], "subject_type": "pairwise", "client_name": "New"})); res.StatusCode != 200 {
		t.Errorf("a new name: %d %s", res.StatusCode, res.text)
	}
}
