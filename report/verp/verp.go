// Package verp makes and checks the envelope senders of report mails: a
// variable envelope return path, which names the delivery that a bounce is
// about.
//
// An address is "b+TOKEN@domain". The token has 20 letters of base32 (RFC 4648,
// Section 6) in lower case, 100 bits: 48 of an HMAC over the delivery, 12 of the
// day, and 40 of an HMAC over both. So a token is checked without a look at any
// table, and a bounce that was made up costs no query. A stored delivery is
// found by its token. Address and Check are pure; the key is the caller's.
//
// Limits: a token is accepted on its UTC day, for MaxAge afterwards, and one day
// before, since clocks differ. Two deliveries of one
// day have the same token with a probability of 2⁻⁴⁸.
package verp

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"strings"
	"time"
)

// MaxAge is how long after its day a token is accepted. MTAs give up within 5
// days (RFC 5321, Section 4.5.4.1); the rest is for bounces that are late.
const MaxAge = 30 * 24 * time.Hour

// MinKey is the length in bytes of the shortest key that NewKey takes.
const MinKey = 32

var (
	// ErrForeign means that an address is no return path of this domain.
	ErrForeign = errors.New("no return path of a report")

	// ErrForged means that a token was not made with this key.
	ErrForged = errors.New("token was not made with this key")

	// ErrAge means that a token is older than MaxAge, or of a day to come.
	ErrAge = errors.New("token is too old")
)

// The parts of an address and of a token.
const (
	prefix   = "b+"
	tokenLen = 20 // letters of 5 bits
	days     = 1 << 12
	day      = 24 * time.Hour
)

var encoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// Key makes and checks tokens. Hosts that share a queue share the key. The
// zero value makes no token and accepts none.
type Key struct{ secret []byte }

// Equal reports whether two keys make the same return paths.
func (k Key) Equal(o Key) bool { return hmac.Equal(k.secret, o.secret) }

// NewKey returns the key of a secret of at least MinKey random bytes.
func NewKey(secret []byte) (Key, error) {
	if len(secret) < MinKey {
		return Key{}, errors.New("the key of return paths needs at least 32 bytes")
	}
	return Key{append([]byte(nil), secret...)}, nil
}

// Token returns the token of a delivery, which any text may identify, made on
// the UTC day of at. It is the same on every call.
func (k Key) Token(delivery string, at time.Time) string {
	if len(k.secret) == 0 {
		panic("verp: token of the zero key")
	}
	var b [13]byte // 104 bits, of which 100 are used
	copy(b[:6], k.mac("delivery", []byte(delivery)))
	binary.BigEndian.PutUint16(b[6:8], uint16(dayOf(at))<<4)
	seal(b[:], k.mac("token", b[:8]))
	return strings.ToLower(encoding.EncodeToString(b[:])[:tokenLen])
}

// seal writes the 40 bits of a MAC behind the 60 bits that it covers.
func seal(b, mac []byte) {
	for i, c := range mac[:5] {
		b[7+i] |= c >> 4
		b[8+i] = c << 4
	}
}

// Address returns the envelope sender of a delivery; see Token.
func (k Key) Address(delivery string, at time.Time, domain string) string {
	return Address(k.Token(delivery, at), domain)
}

// Address returns the envelope sender that has a token.
func Address(token, domain string) string { return prefix + token + "@" + domain }

// Check returns the token of an envelope recipient, which is foreign text. The
// error is ErrForeign, ErrForged or ErrAge.
func (k Key) Check(address, domain string, now time.Time) (string, error) {
	at := strings.LastIndexByte(address, '@')
	if at != len(prefix)+tokenLen || !strings.EqualFold(address[at+1:], domain) || !strings.EqualFold(address[:len(prefix)], prefix) {
		return "", ErrForeign
	}
	token := strings.ToLower(address[len(prefix):at])
	b, err := encoding.DecodeString(strings.ToUpper(token) + "A") // 105 bits: 13 bytes and a bit
	if err != nil || len(b) != 13 {                               // line ends are passed over
		return "", ErrForeign
	}
	want := [13]byte(b)
	want[7] &= 0xf0
	clear(want[8:])
	if len(k.secret) == 0 {
		return "", ErrForged
	}
	seal(want[:], k.mac("token", want[:8]))
	if !hmac.Equal(want[:], b[:13]) {
		return "", ErrForged
	}
	// A host whose clock is ahead may have made the token of tomorrow.
	made := int(binary.BigEndian.Uint16(want[6:8]) >> 4)
	if age := (dayOf(now) - made + 1 + days) % days; age > int(MaxAge/day)+1 {
		return "", ErrAge
	}
	return token, nil
}

// dayOf is the UTC day of a time, modulo days: eleven years.
func dayOf(t time.Time) int { return int(t.Unix()/int64(day/time.Second)) & (days - 1) }

// mac is an HMAC for one purpose, so that no text of one purpose is one of
// another.
func (k Key) mac(purpose string, text []byte) []byte {
	h := hmac.New(sha256.New, k.secret)
	h.Write([]byte(purpose))
	h.Write([]byte{0})
	h.Write(text)
	return h.Sum(nil)
}
