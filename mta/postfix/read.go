package postfix

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	maxOutput = 4 << 20          // bytes of one answer of postconf: our limit; 36 KiB with Debian's files
	readTime  = 20 * time.Second // for all of Read
)

// Read reads the instance of a configuration directory, or with "" the one that
// postconf takes by itself (/etc/postfix).
func Read(ctx context.Context, dir string) (*Instance, error) {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	if dir == "" {
		out, err := Run(ctx, "postconf", "-h", "config_directory")
		if err != nil {
			return nil, err
		}
		dir = strings.TrimSpace(out)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	var outs [5]string
	for n, mode := range []string{"-x", "-n", "-F", "-P", "-Px"} {
		if outs[n], err = Run(ctx, "postconf", "-c", dir, mode); err != nil {
			return nil, err
		}
	}
	i := &Instance{Dir: dir, Values: parseValues(outs[0]), Set: parseValues(outs[1]), Services: parseServices(outs[2])}
	addOverrides(i.Services, outs[3], func(s Service) map[string]string { return s.Written })
	addOverrides(i.Services, outs[4], func(s Service) map[string]string { return s.Overrides })
	for _, name := range []string{"mail_version", "queue_directory", "mail_owner"} {
		if i.Values[name] == "" {
			return nil, fmt.Errorf("postconf -c %s does not tell %s", dir, name)
		}
	}
	return i, nil
}

// Run runs an administrative command of Postfix, such as postconf, and returns
// what it prints on standard output. Its path is that of PATH or /usr/sbin.
func Run(ctx context.Context, name string, args ...string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		path = "/usr/sbin/" + name // an administrator's PATH without su - lacks it
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.WaitDelay = time.Second
	var out, errs limited
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	switch {
	case out.cut:
		return "", fmt.Errorf("%s %s: more than %d bytes", name, strings.Join(args, " "), maxOutput)
	case err != nil:
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

// limited keeps the first maxOutput bytes.
type limited struct {
	bytes.Buffer
	cut bool
}

func (l *limited) Write(p []byte) (int, error) {
	if l.cut = l.cut || l.Len()+len(p) > maxOutput; l.cut {
		return 0, errors.New("too much output")
	}
	return l.Buffer.Write(p)
}
