package mfa

import (
	"bytes"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"anteroom/flow"
	"anteroom/internal/seal"
	"anteroom/store"
)

// pendingSecret derives the secret that the enrolment page shows; doc.go says
// why it is not kept. bound are the ids of the account's authenticators.
func pendingSecret(k *seal.Keyring, a store.Account, b flow.Browser, bound []string) []byte {
	ids := slices.Sorted(slices.Values(bound))
	context := append([]string{a.ID, b.ID, b.Salt, a.NotBefore.UTC().Format(time.RFC3339Nano)}, ids...)
	return k.Derive("totp enrolment", strings.Join(context, "\x00"), secretSize)
}

// authenticatorID names the authenticator that a secret becomes. It follows from
// the secret, so that of two tabs that confirm the same one only one adds it.
func authenticatorID(k *seal.Keyring, accountID string, secret []byte) string {
	return k.Digest("authenticator id", accountID+"\x00"+string(secret))[:22] // 132 bits
}

// leftBehind lists the secrets that this browser showed before and that are
// bound to nothing: whoever scanned one and then confirmed another still has the
// dead entry in the app. Only those that can be derived again are known; bound
// is oldest first.
func leftBehind(k *seal.Keyring, a store.Account, b flow.Browser, bound []Entry) []Entry {
	var ids []string
	older := []Entry{{Secret: pendingSecret(k, a, b, ids)}}
	for _, one := range bound {
		ids = append(ids, one.ID)
		older = append(older, Entry{Secret: pendingSecret(k, a, b, ids)})
	}
	return slices.DeleteFunc(older, func(e Entry) bool {
		return slices.ContainsFunc(bound, func(live Entry) bool { return bytes.Equal(live.Secret, e.Secret) })
	})
}

// maxLabel bounds the account name in the authenticator, in bytes as escaped: a
// longer text makes a QR code with modules too small to scan.
const maxLabel = 96

// otpauthURI is the content of the QR code (Key Uri Format of Google
// Authenticator, which every app reads). The colon separates issuer and account
// in the label, so neither may contain one. Everything is written out, defaults
// too: apps differ in what they assume.
func otpauthURI(issuer, account string, secret []byte) string {
	issuer, account = label(issuer), label(account)
	return "otpauth://totp/" + escape(issuer) + ":" + escape(account) +
		"?secret=" + base32Text.EncodeToString(secret) +
		"&issuer=" + escape(issuer) + "&algorithm=SHA1&digits=6&period=30"
}

// label shortens a name and takes out what has a meaning in a label.
func label(name string) string {
	name = strings.ToValidUTF8(name, "")
	name = strings.Join(strings.Fields(strings.ReplaceAll(name, ":", " ")), " ")
	const more = "…"
	fits, size := 0, 0 // bytes that leave room for more; bytes escaped
	for i, r := range name {
		size += len(escape(string(r)))
		if size > maxLabel {
			return name[:fits] + more
		}
		if size <= maxLabel-len("%E2%80%A6") {
			fits = i + utf8.RuneLen(r)
		}
	}
	return name
}

// escape writes everything but unreserved characters (RFC 3986 section 2.3) as
// %XX: some apps take + literally, others as a space.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
