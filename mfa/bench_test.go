package mfa

import (
	"testing"
	"time"
)

// What a refused code costs besides its commit; at the enrolment page the
// search for a mistyped key comes on top.
func BenchmarkDiagnose(b *testing.B) {
	now := time.Date(2026, 5, 4, 10, 0, 18, 0, time.UTC)
	for name, typed := range map[string]bool{"challenge": false, "enrolment": true} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				Diagnose(Case{Entries: []Entry{{"", annsKey}}, Code: "123456", Now: now, Typed: typed})
			}
		})
	}
}
