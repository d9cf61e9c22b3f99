package pg

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
)

// Place is where a store lies. Two places that are equal are taken for the
// same: a store that is found there with an older state was put back.
type Place struct {
	Host    string // host name
	Machine string // a hash of the machine's id; "" when it has none
	Path    string // of the file
}

// ThisPlace returns the place of a file on this host.
func ThisPlace(path string) Place {
	host, _ := os.Hostname() // without one, the rest tells
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return Place{strings.ToValidUTF8(host, "?"), machine("/etc/machine-id"), strings.ToValidUTF8(path, "?")}
}

// machine hashes the id, which is to be kept from the network (machine-id(5)).
func machine(path string) string {
	text, err := os.ReadFile(path)
	id := strings.TrimSpace(string(text))
	if err != nil || id == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("dmarcgate " + id))
	return hex.EncodeToString(sum[:8])
}
