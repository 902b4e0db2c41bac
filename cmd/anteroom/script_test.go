package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"anteroom/admin"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"anteroom": main})
}

// TestOffline runs the commands as people do, without a service.
func TestOffline(t *testing.T) { scripts(t, "testdata/anywhere", false) }

// TestWhileServing runs the same scripts while a service has the database.
func TestWhileServing(t *testing.T) { scripts(t, "testdata/anywhere", true) }

// TestAlone runs the scripts that are about the service itself, or need none.
func TestAlone(t *testing.T) { scripts(t, "testdata/alone", false) }

func scripts(t *testing.T, dir string, serving bool) {
	testscript.Run(t, testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			// A short path: the socket's has a limit.
			data, err := os.MkdirTemp("", "cmd")
			if err != nil {
				return err
			}
			env.Defer(func() { _ = os.RemoveAll(data) })
			data = filepath.Join(data, "data")
			env.Setenv("DATA", data)
			env.Setenv("GORACE", "atexit_sleep_ms=0") // else each command of a -race build lasts a second longer
			path := filepath.Join(env.WorkDir, "anteroom.yaml")
			text := "issuer: http://localhost:8080\nlisten: 127.0.0.1:0\noperations:\n  listen: \"\"\ndata: " + data + "\n"
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil || !serving {
				return err
			}
			return serveHere(env, path, data)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"waitready": waitReady,
			"within":    within,
			"jsonget":   jsonGet,
		},
		RequireExplicitExec: true,
	})
}

// serveHere runs a service in this process until the script is over.
func serveHere(env *testscript.Env, path, data string) error {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	var log bytes.Buffer
	go func() {
		ended <- run(ctx, []string{"serve", "--config", path}, func(string) string { return "" }, strings.NewReader(""), io.Discard, &log)
	}()
	env.Defer(func() {
		cancel()
		if err := <-ended; err != nil {
			fmt.Fprintf(os.Stderr, "serve: %v\n%s\n", err, log.String())
		}
	})
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if answers(filepath.Join(data, "admin.sock")) {
			return nil
		}
	}
	return errors.New("the service did not start")
}

func answers(socket string) bool {
	conn, err := admin.Dial(context.Background(), socket)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// waitReady waits until a service answers at the socket, or, negated, until none
// does.
func waitReady(ts *testscript.TestScript, neg bool, _ []string) {
	socket := filepath.Join(ts.Getenv("DATA"), "admin.sock")
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if answers(socket) != neg {
			return
		}
	}
	ts.Fatalf("waited for a service at %s in vain (negated: %v)", socket, neg)
}

// within runs a command that must end in time: within 3s ! anteroom ...
func within(ts *testscript.TestScript, _ bool, args []string) {
	limit, err := time.ParseDuration(args[0])
	ts.Check(err)
	args = args[1:]
	neg := args[0] == "!"
	if neg {
		args = args[1:]
	}
	start := time.Now()
	err = ts.Exec(args[0], args[1:]...)
	if took := time.Since(start); took > limit {
		ts.Fatalf("took %v, want at most %v", took, limit)
	}
	if (err != nil) != neg {
		ts.Fatalf("ended with %v", err)
	}
}

// jsonGet sets a variable from the JSON on the last standard output:
// jsonget NAME items.0.id
func jsonGet(ts *testscript.TestScript, _ bool, args []string) {
	var value any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &value))
	for key := range strings.SplitSeq(args[1], ".") {
		switch v := value.(type) {
		case map[string]any:
			value = v[key]
		case []any:
			var i int
			_, err := fmt.Sscan(key, &i)
			ts.Check(err)
			if i >= len(v) {
				ts.Fatalf("%s: there are %d items", args[1], len(v))
			}
			value = v[i]
		default:
			value = nil
		}
	}
	if value == nil {
		ts.Fatalf("there is no %s", args[1])
	}
	ts.Setenv(args[0], fmt.Sprint(value))
}
