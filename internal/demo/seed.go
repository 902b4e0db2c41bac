package demo

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"anteroom/account"
	"anteroom/admin"
	"anteroom/internal/demo/mailbox"
	"anteroom/store"
)

// seeder fills an empty product with the demo's world, and leaves alone what is
// there already: every step looks first.
type seeder struct {
	op      *Operator
	state   *state
	mail    *mailbox.Mailbox
	portals map[string]*Portal // by application

	expected []string // whose mail is on its way
}

// Furnish sets up the organisations and the applications of the demo, and gives
// the portals (by application) their credentials. dir is where it remembers the
// secrets. It can be repeated.
func Furnish(ctx context.Context, op *Operator, dir string, portals map[string]*Portal) error {
	remembered, err := loadState(dir)
	if err != nil {
		return err
	}
	s := seeder{op: op, state: remembered, portals: portals}
	return s.house(ctx)
}

func (s *seeder) house(ctx context.Context) error {
	for _, o := range organisations {
		if err := s.ensure(ctx, "/organisations", o.ID, o); err != nil {
			return fmt.Errorf("set up %s: %w", o.Name, err)
		}
	}
	for _, a := range applications {
		if err := s.application(ctx, a); err != nil {
			return fmt.Errorf("set up %s: %w", a.name, err)
		}
	}
	return nil
}

func (s *seeder) people(ctx context.Context) error {
	for _, p := range invited {
		if err := s.invite(ctx, p.email, p.name, p.application, p.organisation, p.role); err != nil {
			return fmt.Errorf("invite %s: %w", p.email, err)
		}
	}
	for _, m := range members {
		if err := s.member(ctx, m); err != nil {
			return fmt.Errorf("move %s in: %w", m.email, err)
		}
	}
	return nil
}

// ensure makes one thing unless it is there.
func (s *seeder) ensure(ctx context.Context, collection, id string, in any) error {
	err := s.op.Do(ctx, http.MethodGet, collection+"/"+url.PathEscape(id), nil, nil)
	if missing(err) {
		err = s.op.Do(ctx, http.MethodPost, collection, in, nil)
	}
	return err
}

func (s *seeder) application(ctx context.Context, a application) error {
	portal := s.portals[a.id]
	path := "/applications/" + a.id
	var found admin.Application
	err := s.op.Do(ctx, http.MethodGet, path, nil, &found)
	if missing(err) {
		err = s.op.Do(ctx, http.MethodPost, "/applications", a.create(portal.LaunchURL()), &found)
	}
	if err != nil {
		return err
	}
	if found.LaunchURL != portal.LaunchURL() { // another port than the last time
		launch := portal.LaunchURL()
		if err := s.op.Do(ctx, http.MethodPatch, path, admin.ChangeApplication{LaunchURL: &launch}, nil); err != nil {
			return err
		}
	}
	if err := s.roles(ctx, a); err != nil {
		return err
	}
	if err := s.terms(ctx, a); err != nil {
		return err
	}
	return s.client(ctx, a, portal)
}

func (s *seeder) roles(ctx context.Context, a application) error {
	path := "/applications/" + a.id + "/roles"
	var there admin.List[admin.Role]
	if err := s.op.Do(ctx, http.MethodGet, path, nil, &there); err != nil {
		return err
	}
	for _, r := range a.roles {
		if slices.ContainsFunc(there.Items, func(t admin.Role) bool { return t.Key == r.key }) {
			continue
		}
		if err := s.op.Do(ctx, http.MethodPut, path+"/"+r.key, admin.PutRole{Name: r.name, Description: r.description}, nil); err != nil {
			return err
		}
	}
	return nil
}

// terms publishes a text where there was never one: a version that somebody
// published or withdrew while trying things out stays.
func (s *seeder) terms(ctx context.Context, a application) error {
	if !a.terms {
		return nil
	}
	path := "/applications/" + a.id + "/terms"
	var there admin.List[admin.Terms]
	if err := s.op.Do(ctx, http.MethodGet, path, nil, &there); err != nil || len(there.Items) > 0 {
		return err
	}
	return s.op.Do(ctx, http.MethodPost, path, admin.PublishTerms{Title: termsTitle, Markdown: termsText}, nil)
}

// client registers the portal, and gives it its secret. A secret that got lost
// is replaced: it is never shown again.
func (s *seeder) client(ctx context.Context, a application, portal *Portal) error {
	path := "/clients/" + a.client
	want := a.register(portal)
	var found admin.Registered
	err := s.op.Do(ctx, http.MethodGet, path, nil, &found)
	if missing(err) {
		err = s.op.Do(ctx, http.MethodPost, "/clients", want, &found)
	}
	if err != nil {
		return err
	}
	if !slices.Equal(found.RedirectURIs, *want.RedirectURIs) || !slices.Equal(found.PostLogoutRedirectURIs, *want.PostLogoutRedirectURIs) {
		change := admin.ChangeClient{RedirectURIs: want.RedirectURIs, PostLogoutRedirectURIs: want.PostLogoutRedirectURIs}
		if err := s.op.Do(ctx, http.MethodPatch, path, change, nil); err != nil {
			return err
		}
	}
	if found.Secret == "" && s.state.Secrets[a.client] == "" {
		if err := s.op.Do(ctx, http.MethodPost, path+"/rotate-secret", admin.RotateSecret{}, &found); err != nil {
			return err
		}
	}
	if found.Secret != "" {
		s.state.Secrets[a.client] = found.Secret
		if err := s.state.save(); err != nil {
			return err
		}
	}
	portal.cfg.ClientID, portal.cfg.ClientSecret = a.client, s.state.Secrets[a.client]
	return nil
}

// invite sends an invitation to somebody who has none, or whose link has died,
// or whose mail is gone.
func (s *seeder) invite(ctx context.Context, email, name, application, organisation, role string) error {
	var found admin.AccountDetail
	err := s.op.Do(ctx, http.MethodGet, "/accounts/"+url.PathEscape(email), nil, &found)
	if err != nil && !missing(err) {
		return err
	}
	if err == nil {
		waits := slices.ContainsFunc(found.Assignments, func(a admin.Assignment) bool {
			return a.Application == application && a.State == store.AssignmentInvited
		})
		open := slices.ContainsFunc(found.Invitations, func(i admin.Invitation) bool { return i.Application == application && i.State == "open" })
		arrived := slices.ContainsFunc(s.mail.All(), func(m mailbox.Message) bool { return strings.EqualFold(m.To, email) })
		if !waits || open && arrived {
			return nil
		}
	}
	s.expected = append(s.expected, email)
	return s.op.Do(ctx, http.MethodPost, "/accounts/invite", admin.InviteRequest{
		Email: email, Application: application, Organisation: organisation, Profile: map[string]any{"name": name},
		Access: []admin.RoleFor{{Role: role, Organisation: organisation}},
	}, nil)
}

// member moves somebody in with a password, as people come from another system.
func (s *seeder) member(ctx context.Context, m member) error {
	err := s.op.Do(ctx, http.MethodGet, "/accounts/"+url.PathEscape(m.email), nil, nil)
	if err == nil || !missing(err) {
		return err
	}
	password := newPassword()
	hash, err := account.NewHasher(1).Hash(ctx, password)
	if err != nil {
		return err
	}
	line, err := json.Marshal(map[string]any{
		"user_name": m.email, "email": m.email, "email_verified": true, "name": m.name,
		"organisation": m.organisation, "password_hash": hash, "assignments": m.access,
	})
	if err != nil {
		return err
	}
	s.state.Passwords[m.email] = password // before the account: an account without its password is of no use
	if err := s.state.save(); err != nil {
		return err
	}
	var result admin.ImportResult
	if err := s.op.Do(ctx, http.MethodPost, "/accounts/import", bytes.NewReader(line), &result); err != nil {
		return err
	}
	for _, l := range result.Lines {
		if l.Problem != "" {
			return errors.New(l.Problem)
		}
	}
	return nil
}

// awaitMail waits a moment for the invitations to arrive, so that the tour does
// not send people to an empty mailbox. A mail server that is slow stops nothing.
func (s *seeder) awaitMail(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, p := range s.expected {
		if _, err := s.mail.Wait(ctx, func(m mailbox.Message) bool { return strings.EqualFold(m.To, p) }); err != nil {
			return
		}
	}
}

// newPassword makes a password that is easy to type and has 60 bits: five
// groups of two syllables.
func newPassword() string {
	const consonants, vowels = "bdfghjklmnprstvz", "aeiou"
	pick := func(from string) byte {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(from))))
		if err != nil {
			panic("demo: no randomness: " + err.Error())
		}
		return from[n.Int64()]
	}
	var b strings.Builder
	for i := range 5 {
		if i > 0 {
			b.WriteByte('-')
		}
		for range 2 {
			b.WriteByte(pick(consonants))
			b.WriteByte(pick(vowels))
		}
	}
	return b.String()
}
