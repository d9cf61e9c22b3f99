package spf

import (
	"context"
	"strconv"
	"strings"
)

// value is what a macro letter stands for in the record of domain (RFC 7208,
// Section 7.2). Only d changes with include and redirect.
func (c *checker) value(ctx context.Context, letter byte, domain string) string {
	c.macro++
	switch letter {
	case 's':
		return c.local + "@" + c.sender
	case 'l':
		return c.local
	case 'o':
		return c.sender
	case 'd':
		return domain
	case 'i':
		return c.dotted()
	case 'p':
		return c.validName(ctx, domain)
	case 'v':
		if c.ip.Is4() {
			return "in-addr"
		}
		return "ip6"
	case 'h':
		return c.helo
	case 'c':
		return c.ip.String()
	case 't':
		return strconv.FormatInt(c.now().Unix(), 10)
	}
	return "unknown" // r: senders learn no names of our hosts
}

// dotted returns the client's address in parts: numbers of IPv4, nibbles of
// IPv6 in capitals, as the test suite of the RFC wants them.
func (c *checker) dotted() string {
	if c.ip.Is4() {
		return c.ip.String()
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i, octet := range c.ip.As16() {
		if i > 0 {
			b.WriteByte('.')
		}
		b.Write([]byte{hex[octet>>4], '.', hex[octet&15]})
	}
	return b.String()
}

// explain returns the text that the domain owner gives for a fail, or nothing
// whatever goes wrong (RFC 7208, Section 6.2). Its lookups count nowhere.
func (c *checker) explain(ctx context.Context, o outcome) string {
	ctx, cancel := context.WithTimeout(ctx, explanationTime)
	defer cancel()
	value := func(letter byte) string { return c.value(ctx, letter, o.domain) }
	if !isASCII(c.local) && uses(o.exp, "ls") {
		return ""
	}
	texts, _, f := lookup(ctx, c, c.dns.TXT, expandName(o.exp, value))
	if f != nil || len(texts) != 1 {
		return ""
	}
	text, _ := expandText(texts[0], value)
	return text
}
