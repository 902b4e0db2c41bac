package mfa

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"math"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp"
)

// independent computes a code from the text of RFC 4226 section 5.3, without
// the library under test.
func independent(newHash func() hash.Hash, secret []byte, counter uint64, digits int) string {
	mac := hmac.New(newHash, secret)
	_ = binary.Write(mac, binary.BigEndian, counter)
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 0x0f
	value := binary.BigEndian.Uint32(sum[offset:offset+4]) & 0x7fffffff
	return fmt.Sprintf("%0*d", digits, value%uint32(math.Pow10(digits)))
}

// codeAt is what a phone shows whose clock says t.
func codeAt(secret []byte, t time.Time) string {
	return independent(sha1.New, secret, uint64(t.Unix()/30), 6)
}

func TestCodesAreThoseOfRFC6238(t *testing.T) {
	seeds := map[otp.Algorithm][]byte{ // Appendix B: each algorithm has a seed as long as its output
		otp.AlgorithmSHA1:   []byte("12345678901234567890"),
		otp.AlgorithmSHA256: []byte("12345678901234567890123456789012"),
		otp.AlgorithmSHA512: []byte("1234567890123456789012345678901234567890123456789012345678901234"),
	}
	hashes := map[otp.Algorithm]func() hash.Hash{
		otp.AlgorithmSHA1: sha1.New, otp.AlgorithmSHA256: sha256.New, otp.AlgorithmSHA512: sha512.New,
	}
	vectors := []struct {
		unix                 int64
		sha1, sha256, sha512 string
	}{
		{59, "94287082", "46119246", "90693936"},
		{1111111109, "07081804", "68084774", "25091201"},
		{1111111111, "14050471", "67062674", "99943326"},
		{1234567890, "89005924", "91819424", "93441116"},
		{2000000000, "69279037", "90698825", "38618901"},
		{20000000000, "65353130", "77737706", "47863826"},
	}
	for _, v := range vectors {
		step := StepAt(time.Unix(v.unix, 0))
		for algorithm, want := range map[otp.Algorithm]string{
			otp.AlgorithmSHA1: v.sha1, otp.AlgorithmSHA256: v.sha256, otp.AlgorithmSHA512: v.sha512,
		} {
			if got := (form{algorithm, otp.DigitsEight}).code(seeds[algorithm], step); got != want {
				t.Errorf("%v at %d: %s, want %s", algorithm, v.unix, got, want)
			}
			if got := independent(hashes[algorithm], seeds[algorithm], uint64(step), 8); got != want {
				t.Errorf("the tests' own %v at %d: %s, want %s", algorithm, v.unix, got, want)
			}
		}
	}
}

func TestCodesAreThoseOfOathtool(t *testing.T) {
	tool, err := exec.LookPath("oathtool")
	if err != nil {
		t.Skip("SKIPPED: oathtool is not installed; codes are compared with RFC 6238 only")
	}
	secret := []byte("a secret of 20 bytes")
	for _, unix := range []int64{0, 29, 30, 1700000000, 4102444800} {
		out, err := exec.Command(tool, "--totp", "--now", time.Unix(unix, 0).UTC().Format("2006-01-02 15:04:05 MST"), hex.EncodeToString(secret)).CombinedOutput()
		if err != nil {
			t.Fatalf("oathtool: %v: %s", err, out)
		}
		if got, want := ours.code(secret, StepAt(time.Unix(unix, 0))), strings.TrimSpace(string(out)); got != want {
			t.Errorf("code at %d = %s, oathtool says %s", unix, got, want)
		}
	}
}

func TestAcceptedIsOneStepEitherWayAndNeverAgain(t *testing.T) {
	secret := []byte("a secret of 20 bytes")
	other := []byte("another one 20 bytes")
	now := time.Date(2026, 5, 4, 10, 0, 12, 0, time.UTC)
	current := StepAt(now)
	cases := []struct {
		name    string
		code    string
		last    int64
		want    int64 // 0: refused
		entryID string
	}{
		{"this step", codeAt(secret, now), 0, current, "a"},
		{"one before", codeAt(secret, now.Add(-30*time.Second)), 0, current - 1, "a"},
		{"one after", codeAt(secret, now.Add(30*time.Second)), 0, current + 1, "a"},
		{"two before", codeAt(secret, now.Add(-60*time.Second)), 0, 0, ""},
		{"two after", codeAt(secret, now.Add(60*time.Second)), 0, 0, ""},
		{"of the other authenticator", codeAt(other, now), 0, current, "b"},
		{"accepted before", codeAt(secret, now), current, 0, ""},
		{"the step before the accepted one", codeAt(secret, now.Add(-30*time.Second)), current, 0, ""},
		{"the step after the accepted one", codeAt(secret, now.Add(30*time.Second)), current, current + 1, "a"},
		{"of one authenticator after another was used", codeAt(other, now), current, 0, ""},
		{"five of the digits", codeAt(secret, now)[1:], 0, 0, ""},
		{"eight digits that end in the code", "00" + codeAt(secret, now), 0, 0, ""},
		{"empty", "", 0, 0, ""},
	}
	entries := []Entry{{"a", secret}, {"b", other}, {"unreadable", nil}}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m, ok := accepted(entries, c.code, now, c.last)
			if ok != (c.want != 0) || m.step != c.want || m.entry.ID != c.entryID {
				t.Errorf("accepted = entry %q step %d, %v; want %q %d", m.entry.ID, m.step, ok, c.entryID, c.want)
			}
		})
	}
}

func TestWaitAfter(t *testing.T) {
	now := time.Unix(1_700_000_010, 0) // 10 s into a step: 1_700_000_010 % 30 == 0 would be its start
	now = now.Add(-time.Duration(now.Unix()%30) * time.Second).Add(18 * time.Second)
	current := StepAt(now)
	cases := []struct {
		name string
		last int64
		want time.Duration
	}{
		{"nothing accepted yet", 0, 0},
		{"an earlier step", current - 1, 0},
		{"this step", current, 12 * time.Second},
		{"a phone one step ahead", current + 1, 12 * time.Second},
		{"our clock went back two minutes", current + 4, 12*time.Second + 4*30*time.Second},
	}
	for _, c := range cases {
		if got := waitAfter(c.last, now); got != c.want {
			t.Errorf("%s: waitAfter = %v, want %v", c.name, got, c.want)
		}
	}
}

func TestStepAt(t *testing.T) {
	for unix, want := range map[int64]int64{-1: 0, 0: 0, 29: 0, 30: 1, 59: 1, 1_700_000_000: 56_666_666} {
		if got := StepAt(time.Unix(unix, 0)); got != want {
			t.Errorf("StepAt(%d) = %d, want %d", unix, got, want)
		}
	}
}
