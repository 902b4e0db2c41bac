package postgres

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// refusal is a sentence for the operator that needs no translation.
type refusal string

func (r refusal) Error() string { return string(r) }

// errDSN does not quote the connection string: a password may be anywhere in a
// malformed one.
const errDSN = refusal("the connection string of the store cannot be read; write postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full, with special characters of the password percent-encoded (@ is %40, / is %2F)")

const errReadOnly = refusal("the database server is a read-only replica; name the primary, or all hosts separated by commas: the one that takes writes is chosen")

// refuse says what is wrong with a server or a database, and what to do about it.
// It never quotes the password.
func refuse(config *pgxpool.Config, err error) error {
	if said, ok := errors.AsType[refusal](err); ok {
		return said
	}
	c := config.ConnConfig
	where := fmt.Sprintf("%s:%d", c.Host, c.Port)
	if all := hosts(c); len(all) > 1 && (errors.Is(err, pgconn.ErrReadOnlyConnection) || unreached(err)) {
		return fmt.Errorf("none of the database servers %s takes writes; promote a standby, or start the primary: this node finds it by itself", strings.Join(all, ", "))
	}
	if errors.Is(err, pgconn.ErrReadOnlyConnection) {
		return errReadOnly
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch {
		case e.Code == "28P01":
			return fmt.Errorf("the database server %s refuses the password of user %q; correct it in the connection string of the store", where, c.User)
		case strings.HasPrefix(e.Code, "28"):
			return fmt.Errorf("the database server %s does not let user %q in (%s); create the user, or allow it in pg_hba.conf", where, c.User, e.Message)
		case e.Code == "3D000":
			return fmt.Errorf("the database server %s has no database %q; create it: CREATE DATABASE %s OWNER %s ENCODING 'UTF8' TEMPLATE template0", where, c.Database, c.Database, c.User)
		case e.Code == "57P03":
			return fmt.Errorf("the database server %s is not ready (%s); wait until it has started", where, e.Message)
		case e.Code == "53300":
			return fmt.Errorf("the database server %s has no connection left (%s); raise its max_connections, or lower pool_max_conns in the connection strings", where, e.Message)
		case e.Code == diskFull:
			return fmt.Errorf("the database server %s has no space left (%s); free some or add some: it goes on by itself", where, e.Message)
		case e.Code == readOnlyTransaction:
			return errReadOnly
		case e.Code == "42501":
			return fmt.Errorf("user %q may not do what is needed in database %q (%s); make it the owner: ALTER DATABASE %s OWNER TO %s", c.User, c.Database, e.Message, c.Database, c.User)
		case e.Code == "3F000":
			return fmt.Errorf("there is no schema to make tables in (%s); create the one that search_path names", e.Message)
		case e.Code == undefinedTable:
			return fmt.Errorf("the tables in database %q are gone (%s); restore a backup, or let a start make new ones", c.Database, e.Message)
		}
		return fmt.Errorf("the database server %s answers: %s (%s)", where, e.Message, e.Code)
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return fmt.Errorf("the host %q of the database server is unknown; correct the connection string of the store", c.Host)
	}
	if strings.Contains(err.Error(), "server refused TLS connection") {
		return fmt.Errorf("the database server %s does not speak TLS; enable it there, or write sslmode=disable into the connection string if the network is yours", where)
	}
	if strings.Contains(err.Error(), "x509:") || strings.Contains(err.Error(), "tls:") {
		return fmt.Errorf("the certificate of the database server %s is not accepted (%w); name its authority with sslrootcert=FILE in the connection string", where, cause(err))
	}
	return fmt.Errorf("the database server %s cannot be reached (%w); start it, or correct host and port in the connection string of the store", where, cause(err))
}

// cause is the innermost reason: what is around it repeats the address.
func cause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil {
		return op.Err
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// hosts are the servers that a connection string names.
func hosts(c *pgx.ConnConfig) (all []string) {
	all = []string{fmt.Sprintf("%s:%d", c.Host, c.Port)}
	for _, f := range c.Fallbacks { // the same host, too, with and without TLS
		if one := fmt.Sprintf("%s:%d", f.Host, f.Port); !slices.Contains(all, one) {
			all = append(all, one)
		}
	}
	return all
}

// unreached tells whether no server answered at all.
func unreached(err error) bool {
	_, answered := errors.AsType[*pgconn.PgError](err)
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	return connecting && !answered
}

// saysPoolSize tells whether a connection string bounds the pool itself.
func saysPoolSize(dsn string) bool {
	if u, err := url.Parse(dsn); err == nil && u.Scheme != "" {
		return u.Query().Has("pool_max_conns")
	}
	return strings.Contains(dsn, "pool_max_conns")
}
