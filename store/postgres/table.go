package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"anteroom/store"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// field is a column and a pointer to the part of a row that it holds.
type field struct {
	column string
	ptr    any
}

// when is a time whose zero value is NULL in the database.
type when struct{ *time.Time }

// ScanTimestamptz implements pgtype.TimestamptzScanner.
func (w when) ScanTimestamptz(v pgtype.Timestamptz) error {
	*w.Time = time.Time{}
	if v.Valid {
		*w.Time = store.Time(v.Time)
	}
	return nil
}

// TimestamptzValue implements pgtype.TimestamptzValuer.
func (w when) TimestamptzValue() (pgtype.Timestamptz, error) {
	return pgtype.Timestamptz{Time: store.Time(*w.Time), Valid: !w.IsZero()}, nil
}

// at is a time as an argument, rounded; NULL if it is zero.
func at(t time.Time) when { return when{&t} }

// object writes a map as JSON. Returns ErrInvalid for what has none.
func object(v any) (string, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("%w: %w", store.ErrInvalid, err)
	}
	if string(data) == "null" {
		return "{}", nil
	}
	return string(data), nil
}

// table keeps rows of one type.
type table[T any] struct {
	name   string
	keys   int // the first fields identify a row
	fields func(*T) []field

	columns, insertSQL, updateSQL, byKey string
}

func newTable[T any](name string, keys int, fields func(*T) []field) *table[T] {
	tb := &table[T]{name: name, keys: keys, fields: fields}
	var row T
	var all, holes, sets, same []string
	for i, f := range fields(&row) {
		all = append(all, f.column)
		holes = append(holes, fmt.Sprintf("$%d", i+1))
		if i < keys {
			same = append(same, fmt.Sprintf("%s = $%d", f.column, i+1))
		} else {
			sets = append(sets, fmt.Sprintf("%s = $%d", f.column, i+1))
		}
	}
	tb.columns = strings.Join(all, ", ")
	tb.byKey = "WHERE " + strings.Join(same, " AND ")
	tb.insertSQL = "INSERT INTO " + name + " (" + tb.columns + ") VALUES (" + strings.Join(holes, ", ") + ") ON CONFLICT DO NOTHING"
	tb.updateSQL = "UPDATE " + name + " SET " + strings.Join(sets, ", ") + " " + tb.byKey
	return tb
}

// of lists the columns of the table under an alias.
func (tb *table[T]) of(alias string) string {
	return alias + "." + strings.ReplaceAll(tb.columns, ", ", ", "+alias+".")
}

// orZero is of for a table that may have no row: a zero row then.
func (tb *table[T]) orZero(alias string) string {
	var row T
	var all []string
	for _, f := range tb.fields(&row) {
		column, zero := alias+"."+f.column, ""
		switch f.ptr.(type) {
		case *[]string:
			zero = "'{}'"
		case *map[string]any, *map[string]string:
			zero = "'{}'::jsonb"
		case *bool:
			zero = "false"
		case when: // NULL is the zero time
			all = append(all, column)
			continue
		default: // text; another type fails when the statement is prepared
			zero = "''"
		}
		all = append(all, "COALESCE("+column+", "+zero+")")
	}
	return strings.Join(all, ", ")
}

// values are a row as arguments.
func (tb *table[T]) values(row *T) ([]any, error) {
	fields := tb.fields(row)
	out := make([]any, len(fields))
	for i, f := range fields {
		switch p := f.ptr.(type) {
		case *[]string:
			out[i] = append([]string{}, *p...)
		case *[]byte:
			out[i] = append([]byte{}, *p...)
		case *map[string]any:
			text, err := object(*p)
			if err != nil {
				return nil, fmt.Errorf("%s.%s: %w", tb.name, f.column, err)
			}
			out[i] = text
		case *map[string]string:
			text, err := object(*p)
			if err != nil {
				return nil, fmt.Errorf("%s.%s: %w", tb.name, f.column, err)
			}
			out[i] = text
		case *[]store.DetailType:
			text, err := json.Marshal(append([]store.DetailType{}, *p...))
			if err != nil {
				return nil, fmt.Errorf("%s.%s: %w: %w", tb.name, f.column, store.ErrInvalid, err)
			}
			out[i] = string(text)
		default:
			out[i] = f.ptr
		}
	}
	return out, nil
}

// targets are where a row is scanned to.
func targets(fields []field) []any {
	out := make([]any, len(fields))
	for i, f := range fields {
		out[i] = f.ptr
	}
	return out
}

// mend makes what is empty nil, as the contract has it.
func mend(fields []field) {
	for _, f := range fields {
		switch p := f.ptr.(type) {
		case *[]string:
			if len(*p) == 0 {
				*p = nil
			}
		case *[]byte:
			if len(*p) == 0 {
				*p = nil
			}
		case *[]store.DetailType:
			*p = store.Canonical(*p)
		case *map[string]any:
			if len(*p) == 0 {
				*p = nil
			}
		case *map[string]string:
			if len(*p) == 0 {
				*p = nil
			}
		}
	}
}

func (tb *table[T]) scan(rows pgx.Rows, row *T) error {
	fields := tb.fields(row)
	if err := rows.Scan(targets(fields)...); err != nil {
		return fmt.Errorf("read %s: %w", tb.name, err)
	}
	mend(fields)
	return nil
}

// rows selects; tail is what follows FROM table.
func (tb *table[T]) rows(ctx context.Context, t *tx, tail string, args ...any) (out []T, err error) {
	_, err = t.statement(ctx, "SELECT "+tb.columns+" FROM "+tb.name+" "+tail, args, tb.into(&out))
	if err != nil {
		return nil, err
	}
	return out, nil
}

// found is rows for one row of a set.
func (tb *table[T]) found(ctx context.Context, t *tx, q set, row ...any) (out []T, err error) {
	if _, err = t.find(ctx, q, row, tb.into(&out)); err != nil {
		return nil, err
	}
	return out, nil
}

func (tb *table[T]) into(out *[]T) func(pgx.Rows) error {
	return func(r pgx.Rows) error {
		var row T
		if err := tb.scan(r, &row); err != nil {
			return err
		}
		*out = append(*out, row)
		return nil
	}
}

// get returns the row that tail selects, or ErrNotFound.
func (tb *table[T]) get(ctx context.Context, t *tx, tail string, args ...any) (T, error) {
	var none T
	rows, err := tb.rows(ctx, t, tail, args...)
	if err != nil {
		return none, err
	}
	if len(rows) == 0 {
		return none, fmt.Errorf("%s: %w", tb.name, store.ErrNotFound)
	}
	return rows[0], nil
}

// insert adds a row. Returns ErrExists if its key or a unique column is taken;
// then nothing has changed.
func (tb *table[T]) insert(ctx context.Context, t *tx, row T) error {
	added, err := tb.add(ctx, t, row)
	if err == nil && !added {
		err = fmt.Errorf("%s: %w", tb.name, store.ErrExists)
	}
	return err
}

// add is insert for a row that may be there.
func (tb *table[T]) add(ctx context.Context, t *tx, row T) (bool, error) {
	values, err := tb.values(&row)
	if err != nil {
		return false, err
	}
	n, err := t.exec(ctx, tb.insertSQL, values...)
	return n == 1, err
}

// save writes all columns of a row that is there.
func (tb *table[T]) save(ctx context.Context, t *tx, row T) error {
	values, err := tb.values(&row)
	if err != nil {
		return err
	}
	n, err := t.exec(ctx, tb.updateSQL, values...)
	if err == nil && n == 0 {
		err = fmt.Errorf("%s: %w", tb.name, store.ErrNotFound)
	}
	return err
}

// change locks the row with the given key, applies fn to it, lets check look at
// before and after, and saves it. Returns ErrNotFound, ErrInvalid if fn changed
// what identifies the row, or the errors of fn and check.
func (tb *table[T]) change(ctx context.Context, t *tx, key []any, fn func(*T) error, check func(before, after *T) error) (T, error) {
	var none T
	before, err := tb.get(ctx, t, tb.byKey+" FOR UPDATE", key...)
	if err != nil {
		return none, err
	}
	after := store.Canonical(before)
	if err := fn(&after); err != nil {
		return none, err
	}
	after = store.Canonical(after)
	old, changed := tb.fields(&before), tb.fields(&after)
	for i := range tb.keys {
		if *old[i].ptr.(*string) != *changed[i].ptr.(*string) {
			return none, fmt.Errorf("%s: the identity of a row never changes: %w", tb.name, store.ErrInvalid)
		}
	}
	if check != nil {
		if err := check(&before, &after); err != nil {
			return none, err
		}
	}
	return after, tb.save(ctx, t, after)
}

// page returns one page of the rows that tail (which ends in a condition) selects,
// ordered by the column id.
func (tb *table[T]) page(ctx context.Context, t *tx, p store.Page, id string, condition string, args ...any) (rows []T, next string, err error) {
	n, err := limit(p)
	if err != nil {
		return nil, "", err
	}
	if condition != "" {
		condition += " AND "
	}
	args = append(args, store.Text(p.After), n+1)
	tail := fmt.Sprintf("WHERE %s%s > $%d ORDER BY %s LIMIT $%d", condition, id, len(args)-1, id, len(args))
	if rows, err = tb.rows(ctx, t, tail, args...); err != nil || len(rows) <= n {
		return rows, "", err
	}
	rows = rows[:n]
	return rows, *tb.fields(&rows[n-1])[0].ptr.(*string), nil
}

// limit returns the number of rows that p asks for, or ErrInvalid.
func limit(p store.Page) (int, error) {
	switch {
	case p.Limit == 0:
		return 100, nil
	case p.Limit < 0 || p.Limit > 1000:
		return 0, fmt.Errorf("a page of %d rows (1 to 1000): %w", p.Limit, store.ErrInvalid)
	}
	return p.Limit, nil
}

// gone is ErrNotFound when a statement touched no row.
func gone(what string, n int64, err error) error {
	if err == nil && n == 0 {
		return fmt.Errorf("%s: %w", what, store.ErrNotFound)
	}
	return err
}
