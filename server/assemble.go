package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"anteroom/access"
	"anteroom/account"
	"anteroom/admin"
	"anteroom/config"
	"anteroom/flow"
	"anteroom/internal/mail"
	"anteroom/internal/seal"
	"anteroom/provider"
	"anteroom/store"
	"anteroom/templates"
)

// Rooms are the parts of a node, put together. Commands that run without a
// server use them, too.
type Rooms struct {
	Store      store.Store
	Seal       *seal.Keyring
	Pages      *templates.Renderer
	Accounts   *account.Accounts
	Access     *access.Control
	Hub        *flow.Hub
	Provider   *provider.Provider
	Outbox     *mail.Outbox
	MailSender *mail.Sender
	Admin      http.Handler // acts as the operator: for the socket and for commands
	Now        func() time.Time
}

// Assemble opens the store and builds the rooms over it. The master key comes
// first: it is never made for a database that exists. now may be nil. Close the
// rooms when done.
func Assemble(cfg config.Config, open func(config.Config) (store.Store, error), log *slog.Logger, now func() time.Time) (*Rooms, error) {
	if now == nil {
		now = time.Now
	}
	key, err := config.MasterKey(cfg)
	if err != nil {
		return nil, err
	}
	rooms := &Rooms{Now: now}
	if rooms.Seal, err = seal.New(key); err != nil {
		return nil, err
	}
	if rooms.Store, err = open(cfg); err != nil {
		return nil, err
	}
	if err := rooms.build(cfg, log); err != nil {
		return nil, errors.Join(err, rooms.Close())
	}
	return rooms, nil
}

// Close closes the store.
func (r *Rooms) Close() error { return r.Store.Close() }

func (r *Rooms) build(cfg config.Config, log *slog.Logger) (err error) {
	if err := sameKey(r.Store, r.Seal); err != nil {
		return err
	}
	if _, err := r.Store.Meta(context.Background(), store.MetaMoving); err == nil {
		return errors.New("a migration into this store was interrupted; run the same anteroom migrate again, it goes on where it was")
	}
	if r.Pages, err = templates.NewRenderer(templates.Service(templates.Brand{
		Name: cfg.Product.Name, LogoURL: cfg.Product.LogoURL, Colour: cfg.Product.Colour,
	})); err != nil {
		return err
	}
	r.mail(cfg, log)
	r.people(cfg, log)
	if err := r.protocol(cfg, log); err != nil {
		return err
	}
	r.administration(cfg, log)
	return nil
}

// sameKey refuses a master key that is not the one of the database: nothing
// sealed would open, and every stored hash would be a stranger's.
func sameKey(db store.Metadata, k *seal.Keyring) error {
	id, err := db.SetMetaOnce(context.Background(), "master_key_id", k.ID())
	if err != nil {
		return fmt.Errorf("compare master key with the database: %w", err)
	}
	if id != k.ID() {
		return errors.New("the master key is not the one that this database was made with; restore the file that was (master_key_file, master_key, or master.key in the data folder); all nodes of one database share it")
	}
	return nil
}

func (r *Rooms) mail(cfg config.Config, log *slog.Logger) {
	r.MailSender = mail.NewSender(mail.SenderOptions{
		Store: r.Store, Seal: r.Seal, Now: r.Now, Log: log, SMTP: mail.SMTP{
			Host: cfg.SMTP.Host, Port: cfg.SMTP.Port, Security: cfg.SMTP.Security,
			UserName: cfg.SMTP.UserName, Password: cfg.SMTP.Password.Reveal(),
			From: cfg.SMTP.From, ReplyTo: cfg.SMTP.ReplyTo, Timeout: cfg.SMTP.Timeout,
		},
	})
	r.Outbox = &mail.Outbox{Store: r.Store, Seal: r.Seal, Pages: r.Pages, Now: r.Now, Wake: r.MailSender.Wake}
}

func (r *Rooms) people(cfg config.Config, log *slog.Logger) {
	r.Access = &access.Control{Store: r.Store}
	r.Accounts = &account.Accounts{
		Store: r.Store, Seal: r.Seal, Outbox: r.Outbox, Issuer: cfg.Issuer, Product: cfg.Product.IssuerLabel(), Now: r.Now, Log: log,
		Hasher:         account.NewHasher(cfg.Password.Parallel),
		Throttle:       &account.Throttle{Failures: r.Store, Now: r.Now},
		InvitationLife: cfg.Lifetimes.Invitation, ResetLife: cfg.Lifetimes.Reset,
	}
}

func (r *Rooms) protocol(cfg config.Config, log *slog.Logger) (err error) {
	r.Hub, err = flow.New(flow.Options{
		Issuer: cfg.Issuer, Store: r.Store, Seal: r.Seal, Pages: r.Pages, Now: r.Now,
		MayEnter:          r.Access.MayEnter,
		SessionManagement: sessionManagement(cfg),
		SessionLifetime:   cfg.Lifetimes.Session, InteractionLifetime: cfg.Lifetimes.Interaction,
	})
	if err != nil {
		return err
	}
	certificates, err := mutualTLS(cfg)
	if err != nil {
		return err
	}
	mayRegister, err := registration(cfg)
	if err != nil {
		return fmt.Errorf("registration.statement_issuers: %w", err)
	}
	fetcher := newFetcher(cfg, r.Now)
	r.Provider, err = provider.New(provider.Options{
		Fetch: fetcher, KeySource: keySource{fetcher}, MutualTLS: certificates, Register: mayRegister, Documents: documents(cfg),
		FrontChannel: frontChannel(cfg), SessionManagement: sessionManagement(cfg),
		RequestURIs: cfg.Fetch.RequestObjects == config.RequestObjectsRegistered,
		Issuer:      cfg.Issuer, Store: r.Store, Hub: r.Hub, Seal: r.Seal, Pages: r.Pages, Mail: r.Outbox, Log: log, Now: r.Now,
		Claims: r.claims, MayEnter: r.Access.MayEnter,
		Lifetimes: provider.Lifetimes{
			Code: cfg.Lifetimes.Code, AccessToken: cfg.Lifetimes.AccessToken,
			IDToken: cfg.Lifetimes.IDToken, RefreshToken: cfg.Lifetimes.RefreshToken,
		},
		Keys: provider.KeyPolicy{RotateEvery: cfg.Keys.RotateEvery, PublishAhead: cfg.Keys.PublishAhead},
	})
	if err != nil {
		return err
	}
	r.Hub.Engine, r.Hub.Clients = r.Provider, r.Provider.Client
	return nil
}

// claims says in the provider's words what access knows.
func (r *Rooms) claims(ctx context.Context, accountID, applicationID string) (provider.Roles, error) {
	held, err := r.Access.Claims(ctx, accountID, applicationID)
	if err != nil {
		return provider.Roles{}, err
	}
	roles := provider.Roles{Roles: held.Roles}
	for _, o := range held.Organisations {
		roles.Organizations = append(roles.Organizations, provider.Organization{ID: o.ID, Name: o.Name, Roles: o.Roles})
	}
	return roles, nil
}

func (r *Rooms) administration(cfg config.Config, log *slog.Logger) {
	backup, _ := r.Store.(admin.Backup)
	api := &admin.API{
		Store: r.Store, Accounts: r.Accounts, Keys: r.Provider.Keys(), Backup: backup, Scratch: cfg.DataDir, Mail: r.MailSender, SendsMail: cfg.SMTP.Host != "",
		Seal: r.Seal, Issuer: cfg.Issuer, CheckRedirectURI: provider.CheckRedirectURI, CheckClient: r.Provider.CheckClient, SettleSubject: r.Provider.SettleSubject, Now: r.Now, Log: log,
	}
	r.Admin = admin.AsOperator(api.Handler())
}
