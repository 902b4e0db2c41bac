package seal

import (
	"bytes"
	"testing"
)

func keyring(t *testing.T, b byte) *Keyring {
	t.Helper()
	k, err := New(bytes.Repeat([]byte{b}, KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSealedOpensOnlyForItsPurposeOwnerAndKey(t *testing.T) {
	k := keyring(t, 1)
	sealed := k.Seal("totp secret", "ann", []byte("secret"))
	if plain, err := k.Open("totp secret", "ann", sealed); err != nil || string(plain) != "secret" {
		t.Fatalf("got %q, %v", plain, err)
	}
	altered := bytes.Clone(sealed)
	altered[len(altered)-1] ^= 1
	for _, test := range []struct {
		rule           string
		k              *Keyring
		purpose, owner string
		sealed         []byte
	}{
		{"another owner", k, "totp secret", "ben", sealed},
		{"another purpose", k, "mail", "ann", sealed},
		{"another master key", keyring(t, 2), "totp secret", "ann", sealed},
		{"altered", k, "totp secret", "ann", altered},
		{"cut", k, "totp secret", "ann", sealed[:10]},
		{"empty", k, "totp secret", "ann", nil},
	} {
		if plain, err := test.k.Open(test.purpose, test.owner, test.sealed); err != ErrOpen || plain != nil {
			t.Errorf("%s: got %q, %v; want ErrOpen", test.rule, plain, err)
		}
	}
	if bytes.Equal(sealed, k.Seal("totp secret", "ann", []byte("secret"))) {
		t.Error("sealing twice gives the same bytes: equal secrets would show")
	}
}

func TestDigestsAndDerivedSecretsDependOnKeyAndPurpose(t *testing.T) {
	a, b := keyring(t, 1), keyring(t, 2)
	if a.Digest("code", "x") != a.Digest("code", "x") {
		t.Error("a digest is not stable")
	}
	if a.Digest("code", "x") == a.Digest("token", "x") || a.Digest("code", "x") == b.Digest("code", "x") {
		t.Error("digests of another purpose or key are equal")
	}
	if bytes.Equal(a.Derive("p", "ab", 20), a.Derive("pa", "b", 20)) {
		t.Error("purpose and context run together")
	}
	if a.ID() == b.ID() {
		t.Error("two master keys have one id")
	}
	if Token() == Token() || len(Token()) < 43 {
		t.Error("tokens are not random or too short")
	}
}

func TestMasterKeyLength(t *testing.T) {
	if _, err := New(make([]byte, 31)); err == nil {
		t.Error("a short master key was accepted")
	}
}
