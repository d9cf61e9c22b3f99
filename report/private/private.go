// Package private reads files that hold a secret: a private key, a password.
//
// A file that every user of the host can read or change is refused. The group of
// the file is trusted: files of root that the daemon reads have its group. A
// systemd credential is a file of the daemon's own user.
package private

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// maxFile is the size in bytes of the largest file that is read. An RSA key of
// 4,096 bits takes 3,300 bytes.
const maxFile = 64 << 10

// Read returns what a file holds. The error names the file, and no byte of it.
func Read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return nil, fmt.Errorf("%s: not a regular file", path)
	case mode.Perm()&0o007 != 0:
		return nil, fmt.Errorf("%s: mode %04o lets every user of this host use the secret: run chmod o= on the file, and replace the secret if others may have read it", path, mode.Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = errors.New(path + ": the file is too large for a secret")
	}
	return text, err
}
