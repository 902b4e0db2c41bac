package bolt

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"anteroom/store"

	bbolt "go.etcd.io/bbolt"
)

func TestKeysKeepTheOrderOfTheirParts(t *testing.T) {
	tuples := [][]string{{""}, {"", ""}, {"", "a"}, {"\x01"}, {"a"}, {"a", ""}, {"a", "b"}, {"a", "b", "c"}, {"a", "ba"}, {"a b"}, {"aa"}, {"b"}, {"é"}}
	var keys []string
	for _, parts := range tuples {
		keys = append(keys, key(parts...))
	}
	if !slices.IsSorted(keys) {
		t.Errorf("keys are not in the order of their parts: %q", keys)
	}
	for i, k := range keys {
		if got := parts(k); !slices.Equal(got, tuples[i]) {
			t.Errorf("parts of %q are %q, want %q", k, got, tuples[i])
		}
	}
	if strings.HasPrefix(key("ab"), key("a")) {
		t.Error(`"a" selects what belongs to "ab"`)
	}
	if k := key("a\x00b"); strings.HasPrefix(k, key("a")) {
		t.Error("a NUL from outside crosses into another key")
	}
}

func TestStampsKeepTheOrderOfTimes(t *testing.T) {
	times := []time.Time{{}, time.Unix(-5, 0), time.Unix(0, 0), time.Unix(0, 1000), t0, t0.Add(time.Microsecond), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}
	var stamps []string
	for _, at := range times {
		stamps = append(stamps, stamp(at))
	}
	if !slices.IsSorted(stamps) || len(slices.Compact(stamps)) != len(times) {
		t.Errorf("stamps are not in the order of times: %q", stamps)
	}
}

// TestOverlayBehavesLikeATransaction compares overlays of overlays with a map,
// over random writes, deletions and scans.
func TestOverlayBehavesLikeATransaction(t *testing.T) {
	s := fresh(t)
	random := rand.New(rand.NewPCG(1, 2))
	name := func() string { return strings.Repeat("k", random.IntN(3)) + fmt.Sprint(random.IntN(30)) }
	for round := range 200 {
		err := s.db.Update(func(file *bbolt.Tx) error {
			var layers [3]tx = [3]tx{boltTx{file}}
			model := map[string]string{}
			for k, v := range layers[0].scan(counts, "", "") {
				model[k] = string(v)
			}
			for i := 1; i < len(layers); i++ {
				layers[i] = newOverlay(layers[i-1])
			}
			top := layers[2]
			for range 60 {
				k := name()
				switch random.IntN(4) {
				case 0:
					delete(model, k)
					if err := top.del(counts, k); err != nil {
						return err
					}
				default:
					model[k] = fmt.Sprint(random.IntN(5))
					if err := top.put(counts, k, []byte(model[k])); err != nil {
						return err
					}
				}
				if got := string(top.get(counts, k)); got != model[k] {
					return fmt.Errorf("get %q: %q, want %q", k, got, model[k])
				}
			}
			for range 5 {
				prefix, after := name()[:1], name()
				if random.IntN(2) == 0 {
					after = ""
				}
				if err := sameScan(top, model, prefix, after); err != nil {
					return err
				}
			}
			for i := 2; i > 0; i-- {
				if _, err := layers[i].(*overlay).flush(); err != nil {
					return err
				}
				if err := sameScan(layers[i-1], model, "", ""); err != nil {
					return fmt.Errorf("after flush: %w", err)
				}
			}
			if changed, err := layers[1].(*overlay).flush(); err != nil || changed {
				return fmt.Errorf("flush again: changed %v, %v, want no difference", changed, err)
			}
			return nil
		})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
}

func sameScan(t tx, model map[string]string, prefix, after string) error {
	var got, want []string
	for k, v := range t.scan(counts, prefix, after) {
		got = append(got, k+"="+string(v))
	}
	for _, k := range slices.Sorted(maps.Keys(model)) {
		if strings.HasPrefix(k, prefix) && (after == "" || k > after) {
			want = append(want, k+"="+model[k])
		}
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("scan %q after %q:\n got %q\nwant %q", prefix, after, got, want)
	}
	return nil
}

func TestScanGoesOnWhileTheLoopDeletes(t *testing.T) {
	s := fresh(t)
	err := s.db.Update(func(file *bbolt.Tx) error {
		base := boltTx{file}
		o := newOverlay(base)
		for i := range 10 {
			to := tx(base)
			if i%2 == 0 {
				to = o
			}
			if err := to.put(counts, fmt.Sprint(i), []byte("x")); err != nil {
				return err
			}
		}
		seen := 0
		for k := range o.scan(counts, "", "") {
			seen++
			if err := o.del(counts, k); err != nil {
				return err
			}
		}
		if seen != 10 {
			return fmt.Errorf("saw %d keys, want 10", seen)
		}
		for k := range o.scan(counts, "", "") {
			return fmt.Errorf("%s is still there", k)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestOverlayRefusesWhatTheFileWouldRefuse(t *testing.T) {
	o := newOverlay(nil)
	for _, k := range []string{"", strings.Repeat("x", bbolt.MaxKeySize+1)} {
		if err := o.put(counts, k, nil); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("a key of %d bytes: %v, want ErrInvalid", len(k), err)
		}
	}
}

func FuzzCursor(f *testing.F) {
	s := fresh(f)
	for _, seed := range []string{"", "a", "AA", "-1", "9223372036854775808", "\x00", "AAAA", "YQBiAA"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		page := store.Page{After: cursor}
		_, _, inErr := s.AssignmentsIn(t.Context(), "app", page)
		_, _, auditErr := s.AuditEvents(t.Context(), store.AuditFilter{AccountID: "a"}, page)
		for what, err := range map[string]error{"AssignmentsIn": inErr, "AuditEvents": auditErr} {
			if err != nil && !errors.Is(err, store.ErrInvalid) {
				t.Errorf("%s with cursor %q: %v, want none or ErrInvalid", what, cursor, err)
			}
		}
		if _, _, err := s.Accounts(t.Context(), page); err != nil {
			t.Errorf("Accounts with cursor %q: %v", cursor, err)
		}
	})
}
