package provider

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// jwsSigner signs JWTs with one key, in the compact form (RFC 7515 section 7.1). The
// header of each type is written once: go-jose, which reads and verifies all that
// comes in, makes it anew for each token, and that takes a third of the time of an
// ECDSA signature.
type jwsSigner struct {
	private crypto.Signer
	alg     string            // RFC 7518 section 3.1, RFC 8037 section 3.1
	headers map[string]string // by type, encoded
}

// newJWSSigner returns an error if private is no key for alg.
func newJWSSigner(private any, alg, kid string, types ...string) (*jwsSigner, error) {
	key, ok := private.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T does not sign", private)
	}
	s := &jwsSigner{private: key, alg: alg, headers: map[string]string{}}
	for _, typ := range types {
		header, err := json.Marshal(map[string]string{"alg": alg, "kid": kid, "typ": typ})
		if err != nil {
			return nil, fmt.Errorf("encode header: %w", err)
		}
		s.headers[typ] = base64.RawURLEncoding.EncodeToString(header)
	}
	_, err := s.signature(nil)
	return s, err
}

// sign returns the compact form of a payload.
func (s *jwsSigner) sign(typ string, payload []byte) (string, error) {
	header := s.headers[typ]
	if header == "" {
		return "", fmt.Errorf("no key signs tokens of type %q", typ)
	}
	const room = 1 + 342 // a dot and the signature of the longest key, encoded
	token := make([]byte, 0, len(header)+1+base64.RawURLEncoding.EncodedLen(len(payload))+room)
	token = append(append(token, header...), '.')
	token = base64.RawURLEncoding.AppendEncode(token, payload)
	signature, err := s.signature(token)
	if err != nil {
		return "", err
	}
	return string(base64.RawURLEncoding.AppendEncode(append(token, '.'), signature)), nil
}

func (s *jwsSigner) signature(input []byte) ([]byte, error) {
	digest := sha256.Sum256(input)
	switch key := s.private.(type) {
	case ed25519.PrivateKey:
		if s.alg == "EdDSA" {
			return key.Sign(rand.Reader, input, crypto.Hash(0)) // RFC 8037 section 3.1
		}
	case *ecdsa.PrivateKey:
		if s.alg != "ES256" || key.Params().BitSize != 256 {
			break
		}
		// Without a source of randomness the nonce comes from the key and the input
		// (RFC 6979), which takes a fifth less.
		der, err := key.Sign(nil, digest[:], crypto.SHA256)
		if err != nil {
			return nil, err
		}
		return rawSignature(der)
	case *rsa.PrivateKey:
		switch s.alg {
		case "RS256":
			return key.Sign(rand.Reader, digest[:], crypto.SHA256)
		case "PS256": // RFC 7518 section 3.5: the salt is as long as the hash
			return key.Sign(rand.Reader, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})
		}
	}
	return nil, fmt.Errorf("a key of type %T does not sign with %s", s.private, s.alg)
}

// rawSignature is an ECDSA signature of P-256 as JWS has it: both numbers, 32 bytes
// each (RFC 7518 section 3.4), instead of in DER (RFC 3279 section 2.2.3).
func rawSignature(der []byte) ([]byte, error) {
	var both cryptobyte.String
	in, raw := cryptobyte.String(der), make([]byte, 64)
	if !in.ReadASN1(&both, asn1.SEQUENCE) || !in.Empty() || !readNumber(&both, raw[:32]) || !readNumber(&both, raw[32:]) || !both.Empty() {
		return nil, errors.New("a malformed signature")
	}
	return raw, nil
}

// readNumber fills into with the next number, from the left with zeros.
func readNumber(s *cryptobyte.String, into []byte) bool {
	var number []byte
	if !s.ReadASN1Integer(&number) || len(number) > len(into) {
		return false
	}
	copy(into[len(into)-len(number):], number)
	return true
}
