package account_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"anteroom/account"
	"anteroom/internal/web"
)

func password(who, from string) account.Attempt {
	return account.Attempt{Factor: account.FactorPassword, Account: who, Address: from}
}

// wait is how long the attempt must wait, 0 if it is allowed.
func (r *rig) wait(a account.Attempt) time.Duration {
	r.Helper()
	err := r.Throttle.Allow(r.ctx(), a)
	if throttled, ok := errors.AsType[*account.Throttled](err); ok {
		return throttled.Wait
	}
	r.must(err)
	return 0
}

func (r *rig) failTimes(n int, a account.Attempt) {
	r.Helper()
	for range n {
		r.must(r.Throttle.Failed(r.ctx(), a))
	}
}

func TestSecondFactorFailuresLockWithGrowingWaits(t *testing.T) {
	r := newRig(t)
	code := account.Attempt{Factor: account.FactorSecond, Account: "ann", Address: "192.0.2.1"}
	r.failTimes(4, code)
	if got := r.wait(code); got != 0 {
		t.Fatalf("after 4 failures wait %v, want none", got)
	}
	for i, want := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 15 * time.Minute, 15 * time.Minute} {
		r.failTimes(1, code)
		if got := r.wait(code); got != want {
			t.Fatalf("after %d failures wait %v, want %v", 5+i, got, want)
		}
		r.clock.Add(want)
		if got := r.wait(code); got != 0 {
			t.Fatalf("after waiting %v, still %v to wait", want, got)
		}
	}
	// Neither another address nor a known browser gets around it.
	r.failTimes(1, code)
	code.Address, code.Known = "198.51.100.7", true
	if r.wait(code) == 0 {
		t.Error("another browser need not wait")
	}
	if r.wait(password("ann", "198.51.100.7")) != 0 {
		t.Error("second factor failures count as password failures")
	}
	r.clock.Add(24 * time.Hour)
	if got := r.wait(code); got != 0 {
		t.Errorf("a day later wait %v", got)
	}
}

func TestSuccessForgetsTheAccountsFailures(t *testing.T) {
	r := newRig(t)
	code := account.Attempt{Factor: account.FactorSecond, Account: "ann"}
	r.failTimes(7, code)
	r.must(r.Throttle.Succeeded(r.ctx(), code))
	if got := r.wait(code); got != 0 {
		t.Errorf("wait %v after a success", got)
	}
}

func TestAStrangerLocksNobodyOut(t *testing.T) {
	r := newRig(t)
	for i := range 300 { // a botnet: every guess from another address
		r.failTimes(1, password("ann", fmt.Sprintf("2001:db8:%x::1", i)))
	}
	member := password("ann", "192.0.2.50")
	if got := r.wait(member); got > time.Minute {
		t.Errorf("an unknown browser waits %v, want a minute at most", got)
	}
	member.Known = true
	if got := r.wait(member); got != 0 {
		t.Errorf("a known browser waits %v because of strangers", got)
	}
	// The stranger sits in the same office, behind the same address.
	r.failTimes(60, password("bob", "192.0.2.60"))
	colleague := account.Attempt{Factor: account.FactorPassword, Account: "bob", Address: "192.0.2.60", Known: true}
	if got := r.wait(colleague); got != 0 {
		t.Errorf("a known browser waits %v because of its neighbour", got)
	}
	// Known browsers have a limit of their own.
	r.failTimes(10, member)
	if r.wait(member) == 0 {
		t.Error("a known browser may guess without end")
	}
}

func TestPasswordGuessesAreStrictPerAddressAndPair(t *testing.T) {
	r := newRig(t)
	r.failTimes(5, password("ann", "192.0.2.9"))
	if got := r.wait(password("ann", "192.0.2.9")); got != 15*time.Second {
		t.Errorf("the pair waits %v, want 15 s", got)
	}
	if got := r.wait(password("bob", "192.0.2.9")); got != 0 {
		t.Errorf("another account from there waits %v", got)
	}
	if got := r.wait(password("ann", "192.0.2.10")); got != 0 {
		t.Errorf("the account from elsewhere waits %v", got)
	}
	for i := range 25 {
		r.failTimes(1, password(fmt.Sprint("name", i), "192.0.2.9"))
	}
	if r.wait(password("somebody", "192.0.2.9")) == 0 {
		t.Error("an address may try one password on every account")
	}
	// A success with an account of one's own gives no new guesses.
	r.must(r.Throttle.Succeeded(r.ctx(), password("mallory", "192.0.2.9")))
	if r.wait(password("somebody", "192.0.2.9")) == 0 {
		t.Error("a right password forgets the failures of the address")
	}
}

func TestOneNetworkIsOneAddress(t *testing.T) {
	for _, c := range []struct {
		one, other string
		same       bool
	}{
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true},
		{"2001:db8:1:2::1", "2001:db8:1:3::1", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"fe80::1%eth0", "fe80::2%eth1", true},
		{"", "garbage", true},
	} {
		r := newRig(t)
		r.failTimes(5, password("ann", c.one))
		if got := r.wait(password("ann", c.other)) > 0; got != c.same {
			t.Errorf("%q and %q count together: %v, want %v", c.one, c.other, got, c.same)
		}
	}
}

func TestAClockThatWentBackWaitsNoLonger(t *testing.T) {
	r := newRig(t)
	code := account.Attempt{Factor: account.FactorSecond, Account: "ann"}
	r.failTimes(5, code)
	r.clock.Add(-time.Hour)
	if got := r.wait(code); got > 30*time.Second {
		t.Errorf("wait %v, want at most 30 s", got)
	}
}

func TestThrottledHasWordsAndAStatus(t *testing.T) {
	for wait, want := range map[time.Duration]string{
		time.Millisecond:   "Wait 1 second,",
		40 * time.Second:   "Wait 40 seconds,",
		91 * time.Second:   "Wait 2 minutes,",
		14*time.Minute + 1: "Wait 15 minutes,",
		90*time.Minute + 1: "Wait 2 hours,",
	} {
		throttled := &account.Throttled{Wait: wait}
		if got := throttled.Explain(); !contains(got, want) {
			t.Errorf("%v: %q, want %q in it", wait, got, want)
		}
		problem, ok := errors.AsType[*web.Problem](error(throttled))
		if !ok || problem.Status != 429 || problem.RetryAfter != throttled.Seconds() {
			t.Errorf("%v: problem %+v, want 429 with Retry-After", wait, problem)
		}
	}
}
