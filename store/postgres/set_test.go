package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"anteroom/store"
	"anteroom/store/postgres/pgtest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

func TestListsTravelAsText(t *testing.T) {
	t.Parallel()
	s := openAt(t, pgtest.Database(t), Options{})
	for _, list := range [][]string{
		{}, {""}, {"openid"}, {"a", "b"}, {"NULL", "null"}, {`"`, `\`, `\"`, "{}", ",", " "}, {"ü", "日本", "\n\t"}, {"'); DROP TABLE grants; --"},
	} {
		var got []string
		err := s.pool.QueryRow(t.Context(), "SELECT $1::text::text[]", listText(list)).Scan(&got)
		if err != nil || !slices.Equal(got, list) {
			t.Errorf("%q arrives as %q, %v", list, got, err)
		}
	}
}

// A plan that reads whole tables is good for an empty one, and then stays.
func TestSetsGoByKeysHoweverSmallTheTableIs(t *testing.T) {
	t.Parallel()
	s := openAt(t, pgtest.Database(t), Options{})
	families(t, s, 5, time.Now())
	for _, q := range []struct {
		set
		columns int
	}{
		{selectStanding, 1}, {selectToken, 1}, {selectCode, 1}, {selectAssignments, 2}, {useCode, 2}, {useToken, 3},
		{rotateTokens, len(refreshTokens.fields(new(store.RefreshToken))) + 2}, {insertFirst, len(refreshTokens.fields(new(store.RefreshToken)))}, {insertChained, 12}, {forgetWaiting, 2},
	} {
		nulls := strings.Repeat("NULL, ", q.columns) + "NULL"
		var plan []string
		err := s.pool.AcquireFunc(t.Context(), func(c *pgxpool.Conn) error {
			for _, sql := range []string{"SET plan_cache_mode = force_generic_plan", "PREPARE q AS " + string(q.set)} {
				if _, err := c.Exec(t.Context(), sql); err != nil {
					return err
				}
			}
			rows, err := c.Query(t.Context(), "EXPLAIN EXECUTE q("+nulls+")")
			if err != nil {
				return err
			}
			if plan, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
				return err
			}
			_, err = c.Exec(t.Context(), "DISCARD ALL")
			return errors.Join(err, c.Conn().DeallocateAll(t.Context()))
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, whole := range []string{"Seq Scan", "Hash", "Merge"} {
			if strings.Contains(strings.Join(plan, "\n"), whole) {
				t.Errorf("%s\n%s", q.set, strings.Join(plan, "\n"))
			}
		}
	}
}

func TestOfTwoWhoWantTheSameRowOneWins(t *testing.T) {
	t.Parallel()
	s, now := openAt(t, pgtest.Database(t), Options{}), time.Now()
	const families, times = 8, 8
	for i := range families {
		family(t, s, fmt.Sprint("f", i), now)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := map[string]int{}
	for i := range families * times {
		id := fmt.Sprint("f", i%families)
		wg.Go(func() {
			next := store.RefreshToken{Hash: fmt.Sprint(id, " ", i), GrantID: id, ExpiresAt: now.Add(time.Hour)}
			err := s.Together(t.Context(), func(ctx context.Context) error {
				return errors.Join(s.UseOnce(ctx, "jti", id, now, now.Add(time.Minute)), s.RotateRefreshToken(ctx, id, next, now))
			})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won[id]++
			} else if !errors.Is(err, store.ErrConsumed) {
				t.Errorf("%s: %v", id, err)
			}
		})
	}
	wg.Wait()
	for i := range families {
		if n := won[fmt.Sprint("f", i)]; n != 1 {
			t.Errorf("%d have rotated the token of family %d, want 1", n, i)
		}
	}
}
