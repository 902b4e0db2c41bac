package admin

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"anteroom/internal/audit"
	"anteroom/store"
)

// Application is a portal with its policy.
type Application struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	LaunchURL string `json:"launch_url"`
	LogoURL   string `json:"logo_url"`
	Colour    string `json:"colour"`
	Policy
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Policy is what an application asks at a sign-in.
type Policy struct {
	RequireMFA              bool                `json:"require_mfa"`
	ChallengeAfterEnrolment bool                `json:"challenge_after_enrolment"`
	Consent                 store.ConsentPolicy `json:"consent"` // skip, once, always
	Access                  store.AccessPolicy  `json:"access"`  // assigned, everyone
	EnrolmentHint           string              `json:"enrolment_hint"`
	SessionMaxAge           int64               `json:"session_max_age"` // seconds; 0: no limit of its own
	DetailTypes             []store.DetailType  `json:"authorization_details_types,omitempty"`
}

// CreateApplication makes one. What is left out has its default: a second factor
// is required, consent is skipped (first party), access is for whom it is
// assigned to.
type CreateApplication struct {
	ID string `json:"id,omitempty"`
	ChangeApplication
}

// ChangeApplication names what is to change; keys that are left out stay.
type ChangeApplication struct {
	Name                    *string `json:"name,omitempty"`
	LaunchURL               *string `json:"launch_url,omitempty"`
	LogoURL                 *string `json:"logo_url,omitempty"`
	Colour                  *string `json:"colour,omitempty"`
	RequireMFA              *bool   `json:"require_mfa,omitempty"`
	ChallengeAfterEnrolment *bool   `json:"challenge_after_enrolment,omitempty"`
	Consent                 *string `json:"consent,omitempty"`
	Access                  *string `json:"access,omitempty"`
	EnrolmentHint           *string `json:"enrolment_hint,omitempty"`
	SessionMaxAge           *int64  `json:"session_max_age,omitempty"`

	DetailTypes *[]store.DetailType `json:"authorization_details_types,omitempty"` // replaced whole
}

func viewApplication(a store.Application) Application {
	return Application{
		ID: a.ID, Name: a.Name, LaunchURL: a.LaunchURL, LogoURL: a.LogoURL, Colour: a.Colour,
		Policy: Policy{
			RequireMFA: a.RequireMFA, ChallengeAfterEnrolment: a.ChallengeAfterEnrolment, Consent: a.Consent,
			Access: a.Access, EnrolmentHint: a.EnrolmentHint, SessionMaxAge: int64(a.SessionMaxAge / time.Second), DetailTypes: a.DetailTypes,
		},
		CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt,
	}
}

// application finds the application that the path names.
func (a *API) application(c call) (store.Application, error) {
	id := c.PathValue("application")
	app, err := a.Store.Application(c.ctx, id)
	return app, notFound(err, "application", id)
}

func (a *API) listApplications(c call) (List[Application], error) {
	p, err := page(c)
	if err != nil {
		return List[Application]{}, err
	}
	rows, next, err := a.Store.Applications(c.ctx, p)
	return list(rows, next, viewApplication), err
}

func (a *API) showApplication(c call) (Application, error) {
	app, err := a.application(c)
	return viewApplication(app), err
}

func (a *API) createApplication(c call, in CreateApplication) (Application, error) {
	var found mistakes
	found.slug("id", in.ID)
	if in.Name == nil {
		in.Name = &in.ID
	}
	in.check(&found)
	if err := found.problem(); err != nil {
		return Application{}, err
	}
	now := a.Now()
	row := store.Application{
		ID: in.ID, RequireMFA: true, Consent: store.ConsentSkip, Access: store.AccessAssigned, CreatedAt: now,
	}
	in.apply(&row, now)
	err := a.Store.Do(c.ctx, func(ctx context.Context) error {
		if err := a.Store.CreateApplication(ctx, row); err != nil {
			return fmt.Errorf("create application: %w", err)
		}
		return a.record(ctx, c, store.AuditEvent{Type: audit.ApplicationRegistered, ApplicationID: row.ID})
	})
	if err != nil {
		return Application{}, conflict(err, fmt.Sprintf("There is an application %q already.", in.ID))
	}
	return viewApplication(row), nil
}

func (a *API) changeApplication(c call, in ChangeApplication) (Application, error) {
	var found mistakes
	fields := in.check(&found)
	if err := found.problem(); err != nil {
		return Application{}, err
	}
	if len(fields) == 0 {
		return Application{}, nothingToChange()
	}
	id := c.PathValue("application")
	var row store.Application
	err := a.Store.Do(c.ctx, func(ctx context.Context) (err error) {
		row, err = a.Store.UpdateApplication(ctx, id, func(app *store.Application) error {
			in.apply(app, a.Now())
			return nil
		})
		if err != nil {
			return fmt.Errorf("update application: %w", err)
		}
		return a.record(ctx, c, store.AuditEvent{
			Type: audit.ApplicationUpdated, ApplicationID: id, Details: map[string]string{"fields": strings.Join(fields, ", ")},
		})
	})
	return viewApplication(row), notFound(err, "application", id)
}

var colour = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

// check returns the names of the fields that change.
func (in ChangeApplication) check(found *mistakes) (fields []string) {
	text := func(field string, value *string, check func(string)) {
		if value != nil {
			fields = append(fields, field)
			check(*value)
		}
	}
	text("name", in.Name, func(v string) { found.line("name", v, 1, 100) })
	text("launch_url", in.LaunchURL, func(v string) { found.webOrEmpty("launch_url", v) })
	text("logo_url", in.LogoURL, func(v string) { found.webOrEmpty("logo_url", v) })
	text("colour", in.Colour, func(v string) {
		if v != "" && !colour.MatchString(v) {
			found.add("colour", "must be a colour like #1f5fbf")
		}
	})
	text("consent", in.Consent, func(v string) {
		found.oneOf("consent", v, string(store.ConsentSkip), string(store.ConsentOnce), string(store.ConsentAlways))
	})
	text("access", in.Access, func(v string) {
		found.oneOf("access", v, string(store.AccessAssigned), string(store.AccessEveryone))
	})
	text("enrolment_hint", in.EnrolmentHint, func(v string) { found.line("enrolment_hint", v, 0, 300) })
	if in.RequireMFA != nil {
		fields = append(fields, "require_mfa")
	}
	if in.ChallengeAfterEnrolment != nil {
		fields = append(fields, "challenge_after_enrolment")
	}
	if in.DetailTypes != nil {
		fields = append(fields, detailTypesKey)
		found.detailTypes(detailTypesKey, *in.DetailTypes)
	}
	if in.SessionMaxAge != nil {
		fields = append(fields, "session_max_age")
		if n := *in.SessionMaxAge; n < 0 || n > 400*24*3600 {
			found.add("session_max_age", "must be 0 to 34560000 seconds (400 days)")
		}
	}
	return fields
}

func (in ChangeApplication) apply(app *store.Application, now time.Time) {
	set(&app.Name, in.Name)
	set(&app.LaunchURL, in.LaunchURL)
	set(&app.LogoURL, in.LogoURL)
	set(&app.Colour, in.Colour)
	set(&app.RequireMFA, in.RequireMFA)
	set(&app.ChallengeAfterEnrolment, in.ChallengeAfterEnrolment)
	set(&app.EnrolmentHint, in.EnrolmentHint)
	set(&app.DetailTypes, in.DetailTypes)
	if in.Consent != nil {
		app.Consent = store.ConsentPolicy(*in.Consent)
	}
	if in.Access != nil {
		app.Access = store.AccessPolicy(*in.Access)
	}
	if in.SessionMaxAge != nil {
		app.SessionMaxAge = time.Duration(*in.SessionMaxAge) * time.Second
	}
	app.UpdatedAt = now
}

// set changes a field if there is a value for it.
func set[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}

func (a *API) deleteApplication(c call) (Done, error) {
	id := c.PathValue("application")
	err := a.Store.Do(c.ctx, func(ctx context.Context) error {
		if _, err := a.Store.RevokeGrants(ctx, store.GrantFilter{ApplicationID: id}, "application deleted", a.Now()); err != nil {
			return fmt.Errorf("revoke grants: %w", err)
		}
		if err := a.Store.DeleteApplication(ctx, id); err != nil {
			return fmt.Errorf("delete application: %w", err)
		}
		return a.record(ctx, c, store.AuditEvent{Type: audit.ApplicationDeleted, ApplicationID: id})
	})
	if err != nil {
		return Done{}, notFound(err, "application", id)
	}
	return done("The application %s is deleted, with its clients, roles, terms and access.", id)
}

// Role is a key that an application understands.
type Role struct {
	Key         string    `json:"key"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	CreatedAt   time.Time `json:"created_at"`
}

// PutRole describes a role.
type PutRole struct {
	Name        string `json:"name,omitempty"` // "": the key
	Description string `json:"description,omitempty"`
}

func viewRole(r store.Role) Role { return Role{r.Key, r.Name, r.Description, r.CreatedAt} }

func (a *API) listRoles(c call) (List[Role], error) {
	app, err := a.application(c)
	if err != nil {
		return List[Role]{}, err
	}
	rows, err := a.Store.RolesOf(c.ctx, app.ID)
	return list(rows, "", viewRole), err
}

func (a *API) putRole(c call, in PutRole) (Role, error) {
	app, err := a.application(c)
	if err != nil {
		return Role{}, err
	}
	key := c.PathValue("role")
	var found mistakes
	found.slug("role", key)
	found.line("name", cmp.Or(in.Name, key), 1, 100)
	found.line("description", in.Description, 0, 500)
	if err := found.problem(); err != nil {
		return Role{}, err
	}
	row := store.Role{ApplicationID: app.ID, Key: key, Name: cmp.Or(in.Name, key), Description: in.Description, CreatedAt: a.Now()}
	err = a.Store.Do(c.ctx, func(ctx context.Context) error {
		if err := a.Store.PutRole(ctx, row); err != nil {
			return fmt.Errorf("put role: %w", err)
		}
		return a.record(ctx, c, store.AuditEvent{Type: audit.RoleDefined, ApplicationID: app.ID, Details: map[string]string{"role": key}})
	})
	return viewRole(row), err
}

func (a *API) deleteRole(c call) (Done, error) {
	app, err := a.application(c)
	if err != nil {
		return Done{}, err
	}
	key := c.PathValue("role")
	err = a.Store.Do(c.ctx, func(ctx context.Context) error {
		if err := a.Store.DeleteRole(ctx, app.ID, key); err != nil {
			return fmt.Errorf("delete role: %w", err)
		}
		return a.record(ctx, c, store.AuditEvent{Type: audit.RoleDeleted, ApplicationID: app.ID, Details: map[string]string{"role": key}})
	})
	if err != nil {
		return Done{}, notFound(err, "role", key)
	}
	return done("The role %s is deleted and taken from everyone who held it.", key)
}
