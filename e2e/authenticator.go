package e2e

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Step is how long a code is good for (RFC 6238 section 4.1, X).
const Step = 30 * time.Second

// Code is what an authenticator app shows at a moment: six digits, SHA-1, 30
// seconds (RFC 6238, RFC 4226). The secret is base32, spaces and case do not
// matter. It is written from the RFC and shares nothing with the product.
func Code(secret string, at time.Time) (string, error) {
	secret = strings.TrimRight(strings.ToUpper(strings.ReplaceAll(secret, " ", "")), "=")
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		return "", fmt.Errorf("secret %q is not base32: %w", secret, err)
	}
	mac := hmac.New(sha1.New, key)
	_ = binary.Write(mac, binary.BigEndian, at.Unix()/int64(Step/time.Second))
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 0x0f
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[offset:])&0x7fffffff)%1_000_000), nil
}

// Scan reads the otpauth URI of a QR code, as an authenticator app does. An app
// that is strict takes nothing but TOTP with SHA-1, six digits and 30 seconds.
func Scan(uri string) (secret, label, issuer string, err error) {
	u, err := url.Parse(uri)
	if err != nil {
		return "", "", "", fmt.Errorf("scan: %w", err)
	}
	q := u.Query()
	if u.Scheme != "otpauth" || u.Host != "totp" {
		return "", "", "", fmt.Errorf("scan: %s://%s is not otpauth://totp", u.Scheme, u.Host)
	}
	for name, want := range map[string]string{"algorithm": "SHA1", "digits": "6", "period": "30"} {
		if got := q.Get(name); got != "" && got != want {
			return "", "", "", fmt.Errorf("scan: %s is %s, which many apps ignore", name, got)
		}
	}
	if q.Get("secret") == "" {
		return "", "", "", fmt.Errorf("scan: no secret")
	}
	return q.Get("secret"), strings.TrimPrefix(u.Path, "/"), q.Get("issuer"), nil
}
