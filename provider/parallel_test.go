package provider

import (
	"sync"
	"testing"
	"time"

	"anteroom/internal/audit"
)

const callers = 32

// race sends the same request from many callers at once.
func race(t *testing.T, send func() *reply) (won []*reply) {
	t.Helper()
	var mu sync.Mutex
	var wait sync.WaitGroup
	start := make(chan struct{})
	for range callers {
		wait.Go(func() {
			<-start
			res := send()
			mu.Lock()
			defer mu.Unlock()
			switch {
			case res.StatusCode == 200:
				won = append(won, res)
			case res.StatusCode != 400 || res.json["error"] != "invalid_grant":
				t.Errorf("a loser got %d %s", res.StatusCode, res.text)
			}
		})
	}
	close(start)
	wait.Wait()
	return won
}

// I1. With a store that does not decide, 32 of 32 exchanges succeed.
func TestParallelRedemptionsHaveOneWinner(t *testing.T) {
	r := newRig(t)
	for range 3 {
		form := redemption(r.code(ask("web")))
		won := race(t, func() *reply { return r.post(PathToken, form, basic("web")) })
		if len(won) != 1 {
			t.Fatalf("%d winners, want 1", len(won))
		}
		if r.active(str(won[0].json["access_token"]), "web") {
			t.Error("a code came twice and its tokens live")
		}
	}
	if n := r.count(audit.CodeRedeemed); n != 3 {
		t.Errorf("%d redemptions in the log, want 3", n)
	}
}

// I4.
func TestParallelRefreshesHaveOneWinnerWhoseLeafLives(t *testing.T) {
	r := newRig(t)
	token := str(r.tokens("spa")["refresh_token"])
	for range 3 {
		form := refreshment(token)
		won := race(t, func() *reply { return r.post(PathToken, form, publicly("spa")) })
		if len(won) != 1 {
			t.Fatalf("%d winners, want 1", len(won))
		}
		token = str(won[0].json["refresh_token"])
		r.pass(time.Second)
	}
	if res := r.post(PathToken, refreshment(token), publicly("spa")); res.StatusCode != 200 {
		t.Errorf("the last leaf: %d %s", res.StatusCode, res.text)
	}
	if n := r.count(audit.TokenRefreshed); n != 4 {
		t.Errorf("%d refreshes in the log, want 4", n)
	}
}

// A burnt code and a redeemed one are the same code.
func TestParallelRightAndWrongVerifiersNeverBothCount(t *testing.T) {
	r := newRig(t)
	right := redemption(r.code(ask("web")))
	wrong := redemption(right.Get("code"))
	wrong.Set("code_verifier", verifier+"-wrong")
	var n int
	var mu sync.Mutex
	won := race(t, func() *reply {
		mu.Lock()
		n++
		form := right
		if n%2 == 0 {
			form = wrong
		}
		mu.Unlock()
		return r.post(PathToken, form, basic("web"))
	})
	if len(won) > 1 {
		t.Errorf("%d winners", len(won))
	}
	for _, res := range won {
		if r.active(str(res.json["access_token"]), "web") {
			t.Error("the tokens live although the code came again")
		}
	}
}
