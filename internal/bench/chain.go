package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const chainTitle = "OpenDKIM→OpenDMARC"

// unpacked is where chain.sh unpacks Debian's packages, below the checkout.
const unpacked = ".cache/chain/current"

// chainDNS is where the name server of the chain answers: OpenDMARC reads
// resolv.conf, which has no ports, and 127.0.0.0/8 has addresses for everybody.
const chainDNS = "127.53.99.1"

// chainFiles are the files of the chain in its folder, "DIR" being the folder
// and "DNS" the name server. The list of public suffixes has the one of the mix.
// OpenDMARC checks SPF itself, keeps a history for reports and refuses what
// fails. Neither logs, as there is no syslog of their own; dmarcgate does.
var chainFiles = map[string]string{
	"opendkim.conf": `Mode v
Socket local:DIR/dkim
AuthservID mx.receiver.example
Nameservers DNS
Syslog no
`,
	"opendmarc.conf": `Socket local:DIR/dmarc
AuthservID mx.receiver.example
TrustedAuthservIDs mx.receiver.example
SPFSelfValidate true
SPFIgnoreResults true
RejectFailures true
PublicSuffixList DIR/suffixes
HistoryFile DIR/history
Syslog false
`,
	"suffixes":    "example\n",
	"resolv.conf": "nameserver DNS\n",
}

// startChain starts Debian's OpenDKIM and OpenDMARC. Where they cannot be had,
// note says why and there is no error.
func (s *stage) startChain(ctx context.Context) (t *target, note string, err error) {
	if os.Geteuid() != 0 {
		return nil, "the chain needs root, for a resolv.conf of its own", nil
	}
	programs, libraries := chainPrograms()
	if programs == nil {
		return nil, "no opendkim and opendmarc here: internal/bench/chain.sh .cache/chain unpacks them, or apt install opendkim opendmarc", nil
	}
	dns, err := s.serve(s.corpus.zone, net.JoinHostPort(chainDNS, "53"))
	if err != nil {
		return nil, fmt.Sprintf("no name server for the chain: %v", err), nil
	}
	dir, err := s.makeDir("chain")
	if err != nil {
		return nil, "", err
	}
	for name, text := range chainFiles {
		text = strings.NewReplacer("DIR", dir, "DNS", chainDNS).Replace(text)
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	if err != nil {
		return nil, "", err
	}
	t = &target{dns: dns}
	for i, option := range []string{"-x", "-c"} { // OpenDKIM's -c is canonicalization
		name := []string{"dkim", "dmarc"}[i]
		own := filepath.Join(dir, "log-"+name)
		if err := os.Mkdir(own, 0o700); err != nil {
			return nil, "", err
		}
		// In a mount namespace of its own; exec keeps the process ID.
		script := fmt.Sprintf(`mount --bind %s/resolv.conf /etc/resolv.conf && LD_LIBRARY_PATH=%s exec %s -f %s %s/open%s.conf`, dir, libraries, programs[i], option, dir, name)
		p, err := s.start(ctx, own, filepath.Join(dir, name), "unshare", "--mount", "sh", "-c", script)
		if err != nil {
			return nil, fmt.Sprintf("the chain does not start: %v", err), ctx.Err()
		}
		t.processes = append(t.processes, p)
	}
	return t, "", s.warm(ctx, t, load{connections: s.opts.connections, short: true})
}

// chainPrograms returns OpenDKIM and OpenDMARC, and the folders of libraries
// that they need beside those of the system: the unpacked ones, else those that
// are installed. It returns nil when there are none.
func chainPrograms() (programs []string, libraries string) {
	root, err := filepath.Abs(unpacked)
	if err != nil {
		return nil, ""
	}
	for _, name := range []string{"opendkim", "opendmarc"} {
		path := filepath.Join(root, "usr/sbin", name)
		if _, err := os.Stat(path); err != nil {
			if path, err = exec.LookPath(name); err != nil {
				return nil, ""
			}
		} else {
			libraries = filepath.Join(root, "usr/lib")
		}
		programs = append(programs, path)
	}
	if libraries != "" {
		below, _ := filepath.Glob(libraries + "/*-linux-gnu") // the pattern is right
		libraries = strings.Join(append(below, libraries), ":")
	}
	return programs, libraries
}
