package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"anteroom/admin"
)

func (a *app) keysCommand() *cobra.Command {
	return group("keys", "The keys that sign tokens",
		`Signing keys are made, published before they sign, replaced and withdrawn by the service
itself (keys in the configuration).`,
		a.keysList(), a.keysRotate(), a.keysWithdraw())
}

func (a *app) keysList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List signing keys",
		Example: "  anteroom keys list",
		Args:    wants(),
		RunE: a.with(func(ctx context.Context, api *api, _ []string) error {
			var out admin.List[admin.Key]
			if err := api.do(ctx, http.MethodGet, "/keys", nil, &out); err != nil {
				return err
			}
			return a.show(out, func(t *table) { printKeys(t, out.Items) })
		}),
	}
}

func printKeys(t *table, keys []admin.Key) {
	t.row("KEY", "ALGORITHM", "STATE", "PUBLISHED", "SIGNS FROM", "WITHDRAWN")
	for _, k := range keys {
		t.row(k.KID, k.Algorithm, k.State, k.CreatedAt, k.ActiveAt, k.RetiredAt)
	}
}

func (a *app) keysRotate() *cobra.Command {
	var now bool
	var lead time.Duration
	c := &cobra.Command{
		Use:   "rotate",
		Short: "Make new signing keys",
		Long: `Rotate makes a new key of each algorithm. It is published at once and signs after --lead, so
that portals with a cached key set know it in time. Tokens that were signed before stay valid
until they expire. After a theft, --now lets the new keys sign at once; portals that keep the key
set longer than its cache time fail until they read it again.`,
		Example: `  anteroom keys rotate
  anteroom keys rotate --now`,
		Args: wants(),
	}
	c.Flags().DurationVar(&lead, "lead", 0, "publish this long before signing (default: keys.publish_ahead of the configuration)")
	c.Flags().BoolVar(&now, "now", false, "sign with the new keys at once")
	c.MarkFlagsMutuallyExclusive("lead", "now")
	c.RunE = a.with(func(ctx context.Context, api *api, _ []string) error {
		if !now && !c.Flags().Changed("lead") {
			lead = api.cfg.Keys.PublishAhead
		}
		var out admin.List[admin.Key]
		if err := api.do(ctx, http.MethodPost, "/keys/rotate", admin.RotateKeys{Lead: int64(lead / time.Second)}, &out); err != nil {
			return err
		}
		return a.show(out, func(t *table) { printKeys(t, out.Items) })
	})
	return c
}

func (a *app) keysWithdraw() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "withdraw KID --yes",
		Short: "Withdraw a stolen key at once",
		Long: `Withdraw takes a key out of the key set before the last token that it signed has expired: those
count no more, and neither does what a thief signs. A key that signs now is replaced first, with
anteroom keys rotate --now. Portals believe it until they read the key set again.`,
		Example: "  anteroom keys withdraw 5f2d0a7c9b1e4386 --yes",
		Args:    wants("KID"),
	}
	c.Flags().BoolVar(&yes, "yes", false, "yes, withdraw it")
	c.RunE = a.with(func(ctx context.Context, api *api, args []string) error {
		if !yes {
			return fmt.Errorf("withdrawing %s makes tokens worthless that people use now; if it was stolen, add --yes (otherwise it is withdrawn by itself)", args[0])
		}
		return a.done(ctx, api, http.MethodDelete, "/keys/"+seg(args[0]), nil)
	})
	return c
}

func (a *app) auditCommand() *cobra.Command {
	return group("audit", "The log of security events",
		`Every security event has one entry, in the same commit as what it reports. docs/audit.md explains
the types.`,
		a.auditList(), a.auditVerify())
}

func (a *app) auditList() *cobra.Command {
	var account, kind, since, until string
	var last int
	var whole bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List entries, oldest first: the last 50, or what is asked for",
		Example: `  anteroom audit list --account ann@acme.example
  anteroom audit list --type second_factor.refused --since 2026-03-01T00:00:00Z --all`,
		Args: wants(),
	}
	f := c.Flags()
	f.StringVar(&account, "account", "", "only entries about this account")
	f.StringVar(&kind, "type", "", "only entries of this type")
	f.StringVar(&since, "since", "", "only entries from this time on, like 2026-03-01T00:00:00Z")
	f.StringVar(&until, "until", "", "only entries before this time")
	f.IntVar(&last, "last", 50, "how many, counted from the end (1 to 1000)")
	f.BoolVar(&whole, "all", false, "all of them")
	c.MarkFlagsMutuallyExclusive("last", "all")
	c.RunE = a.with(func(ctx context.Context, api *api, _ []string) error {
		query := url.Values{}
		for name, value := range map[string]string{"account": account, "type": kind, "since": since, "until": until} {
			if value != "" {
				query.Set(name, value)
			}
		}
		var out admin.List[admin.AuditEvent]
		var err error
		if whole {
			out, err = all[admin.AuditEvent](ctx, api, "/audit", query)
		} else {
			query.Set("last", strconv.Itoa(last))
			err = api.do(ctx, http.MethodGet, "/audit?"+query.Encode(), nil, &out)
		}
		if err != nil {
			return err
		}
		return a.show(out, func(t *table) {
			t.row("SEQ", "TIME", "TYPE", "ACTOR", "ACCOUNT", "ABOUT")
			for _, e := range out.Items {
				t.row(e.Seq, e.At, e.Type, e.Actor, e.Account, about(e))
			}
		})
	})
	return c
}

// about says the rest of an entry in one line.
func about(e admin.AuditEvent) string {
	var words []string
	add := func(name, value string) {
		if value != "" {
			words = append(words, name+"="+value)
		}
	}
	add("application", e.Application)
	add("client", e.Client)
	add("session", e.Session)
	add("address", e.Address)
	for _, name := range slices.Sorted(maps.Keys(e.Details)) {
		add(name, e.Details[name])
	}
	return strings.Join(words, " ")
}

func (a *app) auditVerify() *cobra.Command {
	var expect string
	c := &cobra.Command{
		Use:   "verify",
		Short: "Walk the chain of hashes and name the first break",
		Long: `Verify checks that no entry was changed, removed or replaced since it was written. Keep the last
number and hash that it prints somewhere else, and give them as --expect next time: then a log
that was written anew is noticed, too.`,
		Example: `  anteroom audit verify
  anteroom audit verify --expect 1042:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08`,
		Args: wants(),
	}
	c.Flags().StringVar(&expect, "expect", "", "a known entry, SEQ:HASH")
	c.RunE = a.with(func(ctx context.Context, api *api, _ []string) error {
		var in admin.VerifyAudit
		if expect != "" {
			seq, hash, _ := strings.Cut(expect, ":")
			n, err := strconv.ParseInt(seq, 10, 64)
			if err != nil || n < 1 || hash == "" {
				return fmt.Errorf("%q is not a known entry; write it as SEQ:HASH, as verify prints it", expect)
			}
			in = admin.VerifyAudit{Seq: n, Hash: hash}
		}
		var out admin.Verdict
		if err := api.do(ctx, http.MethodPost, "/audit/verify", in, &out); err != nil {
			return err
		}
		if !out.Holds {
			if a.json {
				if err := a.show(out, nil); err != nil {
					return err
				}
				return errReported
			}
			return fmt.Errorf("the audit log is broken at entry %d: %s Keep a copy of the database for the investigation before anything else", out.Broken.Seq, out.Broken.Reason)
		}
		return a.show(out, func(t *table) {
			t.line("The audit log holds: %d entries.", out.Entries)
			if out.LastSeq > 0 {
				t.line("Last entry: %d:%s", out.LastSeq, out.LastHash)
			}
		})
	})
	return c
}

func (a *app) mailCommand() *cobra.Command {
	return group("mail", "Mail that waits to be sent", "",
		&cobra.Command{
			Use:     "list",
			Short:   "List mail that waits or was given up, with the reason",
			Example: "  anteroom mail list",
			Args:    wants(),
			RunE: a.with(func(ctx context.Context, api *api, _ []string) error {
				out, err := all[admin.OutboxMessage](ctx, api, "/mail", nil)
				if err != nil {
					return err
				}
				return a.show(out, func(t *table) {
					t.row("SINCE", "KIND", "TO", "TRIES", "NEXT TRY", "LAST ERROR")
					for _, m := range out.Items {
						next := moment(m.NextAttempt)
						if !m.GivenUpAt.IsZero() {
							next = "given up " + moment(m.GivenUpAt)
						}
						t.row(m.CreatedAt, m.Kind, m.To, m.Attempts, next, m.LastError)
					}
				})
			}),
		},
		&cobra.Command{
			Use:     "test TO",
			Short:   "Send a test message now, and show what the mail server says",
			Example: "  anteroom mail test ops@example.com",
			Args:    wants("TO"),
			RunE: a.with(func(ctx context.Context, api *api, args []string) error {
				return a.done(ctx, api, http.MethodPost, "/mail/test", admin.TestMail{To: args[0]})
			}),
		})
}
