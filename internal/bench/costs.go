package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"time"
)

// Cost compares the CPU of one request with the work that it cannot do without.
type Cost struct {
	What     string  `json:"what"`
	Each     float64 `json:"server_cpu_ms"`
	Work     string  `json:"compared_to"`
	WorkEach float64 `json:"work_cpu_ms"`
	Ratio    float64 `json:"ratio"` // median of the rounds' own
	Limit    float64 `json:"limit"`
	Rounds   int     `json:"rounds"`
}

const costRounds = 7

// ownWork returns the CPU time of one do in this process, which does nothing
// else meanwhile.
func ownWork(times int, do func()) float64 {
	begin := ownCPU()
	for range times {
		do()
	}
	return perOne(milliseconds(ownCPU()-begin), times)
}

// serverWork returns the server's CPU time for one do, one after the other.
func serverWork(ctx context.Context, pid, times int, do op) (float64, error) {
	begin, err := cpuOf(pid)
	if err != nil {
		return 0, err
	}
	for range times {
		if err := do(ctx); err != nil {
			return 0, err
		}
	}
	end, err := cpuOf(pid)
	return perOne(milliseconds(end-begin), times), err
}

// compare measures both sides in turns, so that both meet the same disturbance.
func compare(c Cost, work func() (float64, error), server func() (float64, error)) (Cost, error) {
	var works, servers, ratios []float64
	for range costRounds {
		w, err := work()
		if err != nil {
			return c, err
		}
		s, err := server()
		if err != nil {
			return c, err
		}
		works, servers = append(works, w), append(servers, s)
		if w > 0 {
			ratios = append(ratios, s/w)
		}
	}
	c.WorkEach, c.Each = round(median(works), 3), round(median(servers), 3)
	c.Ratio, c.Rounds = round(median(ratios), 3), costRounds
	return c, nil
}

// signInCost compares a sign-in with one password hash.
func (b *Bench) signInCost(ctx context.Context) (Cost, error) {
	const times = 20
	salt := make([]byte, 16)
	return compare(Cost{What: "sign-in, both factors, up to the code", Work: "one argon2id hash (19 MiB, 2 passes, 1 lane)", Limit: 1.25},
		func() (float64, error) { return ownWork(times, func() { hashOnce(salt) }), nil },
		func() (float64, error) { return serverWork(ctx, b.pid, times, b.signIn) })
}

// tokenCost compares client credentials with one signature and an empty handler,
// which is a process of its own.
func (b *Bench) tokenCost(ctx context.Context) (Cost, error) {
	const times = 1000
	c := Cost{What: "client credentials, ES256", Work: "one ES256 signature and an empty handler", Limit: 2.5}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, err
	}
	digest := sha256.Sum256([]byte("header.payload"))
	address, idle, err := startEmpty(ctx)
	if err != nil {
		return c, err
	}
	defer func() {
		_ = idle.Process.Kill()
		_ = idle.Wait() // it was killed
	}()
	nothing := empty(b.Portal, address)
	return compare(c, func() (float64, error) {
		var failed error
		sign := ownWork(times, func() {
			if _, err := ecdsa.SignASN1(rand.Reader, key, digest[:]); err != nil {
				failed = err
			}
		})
		if failed != nil {
			return 0, failed
		}
		handle, err := serverWork(ctx, idle.Process.Pid, times, nothing)
		return sign + handle, err
	}, func() (float64, error) {
		return serverWork(ctx, b.pid, times, func(ctx context.Context) error {
			_, err := b.Portal.clientCredentials(ctx)
			return err
		})
	})
}

// startEmpty starts this binary as a server whose handler does nothing.
func startEmpty(ctx context.Context) (address string, c *exec.Cmd, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	port, err := freePort()
	if err != nil {
		return "", nil, err
	}
	c = exec.CommandContext(ctx, self, "-empty", fmt.Sprintf("127.0.0.1:%d", port))
	begin := time.Now()
	if err := c.Start(); err != nil {
		return "", nil, err
	}
	address = fmt.Sprintf("http://127.0.0.1:%d/", port)
	_, err = awaitOK(ctx, address, begin, make(chan error, 1))
	if err != nil {
		_ = c.Process.Kill()
		_ = c.Wait()
	}
	return address, c, err
}

// serveEmpty is what startEmpty starts.
func serveEmpty(address string) error {
	server := &http.Server{Addr: address, ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "{}")
	})}
	return server.ListenAndServe()
}
