package postgres

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"anteroom/store"

	"github.com/jackc/pgx/v5"
)

// set is a statement about several rows at once: its arguments are an array for
// each column, with an element for each row, and the number of rows. One such
// statement costs the server a fraction of one for each row, and so do its answer
// and its arguments here.
type set string

// line is the statement about some rows, each of which has a value for each column.
func (q set) line(rows ...[]any) line {
	args := make([]any, len(rows[0])+1)
	for i := range rows[0] {
		args[i] = columnOf(rows, i)
	}
	args[len(rows[0])] = int64(len(rows))
	return line{string(q), args}
}

// told is the rows that a set is about, under an alias, for its FROM. Each column is
// a name with a type. The column n is the number of the row, from one.
//
// With the LIMIT of a number that it does not know, the server plans for one row,
// and so goes by keys. Without, it plans for ten and may choose to read a table as
// a whole while that is small, and keeps to it when the table has grown.
func told(alias string, columns ...string) string {
	var names, arrays []string
	for i, c := range columns {
		name, kind, _ := strings.Cut(c, " ")
		names = append(names, name)
		arrays = append(arrays, fmt.Sprintf("$%d::%s[]", i+1, kind))
	}
	return fmt.Sprintf("(SELECT * FROM unnest(%s) WITH ORDINALITY AS t (%s, n) LIMIT $%d) %s",
		strings.Join(arrays, ", "), strings.Join(names, ", "), len(columns)+1, alias)
}

// toldColumns are the columns of a table as told wants them, and told as what they
// are: arrays do not nest, so lists and objects travel as text.
func (tb *table[T]) toldColumns(alias string) (columns []string, values string) {
	var row T
	var as []string
	for _, f := range tb.fields(&row) {
		kind, cast := "text", ""
		switch f.ptr.(type) {
		case *string:
		case when:
			kind = "timestamptz"
		case *bool:
			kind = "boolean"
		case *int64:
			kind = "bigint"
		case *[]string:
			cast = "::text[]"
		case *map[string]any, *map[string]string:
			cast = "::jsonb"
		default:
			panic(fmt.Sprintf("postgres: %s.%s cannot be told", tb.name, f.column))
		}
		columns = append(columns, f.column+" "+kind)
		as = append(as, alias+"."+f.column+cast)
	}
	return columns, strings.Join(as, ", ")
}

// insertSet adds the rows that are told as k, those that condition (which may join)
// lets through. A row whose place is taken is left out. It returns the key of each
// that was added.
func (tb *table[T]) insertSet(condition string) set {
	columns, values := tb.toldColumns("k")
	key, _, _ := strings.Cut(tb.columns, ", ")
	return set("INSERT INTO " + tb.name + " (" + tb.columns + ") SELECT " + values + " FROM " + told("k", columns...) + " " + condition +
		" ON CONFLICT DO NOTHING RETURNING " + key)
}

// columnOf is the array of the nth values of rows.
func columnOf(rows [][]any, n int) any {
	switch rows[0][n].(type) {
	case string:
		return column[string](rows, n)
	case *string:
		return pointed[string](rows, n)
	case when:
		return column[when](rows, n)
	case time.Time:
		return column[time.Time](rows, n)
	case *bool:
		return pointed[bool](rows, n)
	case *int64:
		return pointed[int64](rows, n)
	case []string:
		out := make([]string, len(rows))
		for i, r := range rows {
			out[i] = listText(r[n].([]string))
		}
		return out
	default:
		panic(fmt.Sprintf("postgres: no array of %T", rows[0][n]))
	}
}

func column[T any](rows [][]any, n int) []T {
	out := make([]T, len(rows))
	for i, r := range rows {
		out[i] = r[n].(T)
	}
	return out
}

func pointed[T any](rows [][]any, n int) []T {
	out := make([]T, len(rows))
	for i, r := range rows {
		out[i] = *r[n].(*T)
	}
	return out
}

var listQuotes = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// listText is a list as the text of an array.
func listText(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = `"` + listQuotes.Replace(s) + `"`
	}
	return "{" + strings.Join(quoted, ",") + "}"
}

// placed is the rows of a set that reads: before what was asked for they have the
// number of the row that they belong to.
type placed struct{ pgx.Rows }

// Scan takes the columns after the number.
func (p placed) Scan(targets ...any) error { return p.Rows.Scan(append([]any{nil}, targets...)...) }

// place is the index of the row that was told.
func (p placed) place() (int, error) {
	raw := p.RawValues()[0]
	if p.FieldDescriptions()[0].Format == pgx.BinaryFormatCode && len(raw) == 8 {
		return int(binary.BigEndian.Uint64(raw)) - 1, nil //nolint:gosec // we numbered it
	}
	n, err := strconv.Atoi(string(raw))
	if err != nil {
		return 0, fmt.Errorf("number of a row: %w: %w", store.ErrUnavailable, err)
	}
	return n - 1, nil
}
