package bolt

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	bbolt "go.etcd.io/bbolt"
)

// BenchmarkCommits writes one row a unit, from 1 to 512 callers: with this
// package's group commit, with bbolt's Update, and with its Batch. Besides the
// time of a unit it reports units and syncs a second.
func BenchmarkCommits(b *testing.B) {
	for _, callers := range []int{1, 16, 64, 512} {
		b.Run(fmt.Sprintf("group/callers=%d", callers), func(b *testing.B) {
			s := fresh(b)
			spread(b, callers, func(i int64) error { return s.SetMeta(context.Background(), fmt.Sprint(i), "x") })
			b.ReportMetric(float64(s.Commits())/b.Elapsed().Seconds(), "commits/s")
		})
		plain := func(name string, write func(*bbolt.DB) func(func(*bbolt.Tx) error) error) {
			b.Run(fmt.Sprintf("%s/callers=%d", name, callers), func(b *testing.B) {
				db, err := bbolt.Open(filepath.Join(b.TempDir(), "plain.db"), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, InitialMmapSize: initialMap})
				if err != nil {
					b.Fatal(err)
				}
				defer db.Close()
				if err := db.Update(func(t *bbolt.Tx) error { _, err := t.CreateBucket([]byte(metadata)); return err }); err != nil {
					b.Fatal(err)
				}
				spread(b, callers, func(i int64) error {
					return write(db)(func(t *bbolt.Tx) error {
						return boltTx{t}.put(metadata, key(fmt.Sprint(i)), []byte("x"))
					})
				})
			})
		}
		plain("update", func(db *bbolt.DB) func(func(*bbolt.Tx) error) error { return db.Update })
		plain("batch", func(db *bbolt.DB) func(func(*bbolt.Tx) error) error { return db.Batch })
	}
}

// BenchmarkLatency is what one caller waits for one unit of five verbs.
func BenchmarkLatency(b *testing.B) {
	s := fresh(b)
	for i := 0; b.Loop(); i++ {
		err := s.Do(b.Context(), func(ctx context.Context) error {
			for verb := range 5 {
				if err := s.UseOnce(ctx, "bench", fmt.Sprint(i, verb), t0, t0.Add(time.Hour)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// spread shares b.N calls among callers.
func spread(b *testing.B, callers int, fn func(i int64) error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range callers {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := fn(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "units/s")
}
