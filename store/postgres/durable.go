package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// waitForDisk lets a connection whose default is not to wait for it have each commit
// on the disk before it is answered. Stronger settings stay.
const waitForDisk = `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit', true) = 'off'`

// toBeDurable is done to every new connection.
func toBeDurable(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, waitForDisk)
	return err
}

// risks are ways to lose what was acknowledged that only the operator of the server
// can end.
func risks(ctx context.Context, conn *pgx.Conn) (found []string) {
	for _, setting := range []string{"fsync", "full_page_writes"} {
		var off bool
		err := conn.QueryRow(ctx, `SELECT coalesce(current_setting($1, true), '') = 'off'`, setting).Scan(&off)
		if err == nil && off {
			found = append(found, fmt.Sprintf("%s is off: a crash of the server's machine can damage the database; turn it on", setting))
		}
	}
	var replicas int
	err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_replication
		WHERE coalesce(state, 'streaming') = 'streaming' AND current_setting('synchronous_standby_names', true) = ''`).Scan(&replicas)
	if err == nil && replicas > 0 {
		found = append(found, fmt.Sprintf("commits wait for none of its replicas (%d): if one is promoted, the last commits are lost; set synchronous_standby_names", replicas))
	}
	return found // an error is that of a cousin that does not know the question
}
