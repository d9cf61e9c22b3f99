package disktest

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Kind is what was done to a file.
type Kind uint8

// The kinds.
const (
	Write Kind = iota
	Truncate
	Sync
	Remove
)

// Op is one thing that was done to a file, in the order of their ends.
type Op struct {
	Kind Kind
	Path string
	At   int64 // the offset of a Write, the size of a Truncate; -1 at the end of the file
	Data []byte
}

// maxLine is more than a traced write of a megabyte takes.
const maxLine = 8 << 20

// Trace returns the command line that runs another one and writes to a file
// what it does. The process that it starts is the command's own, so that
// signals reach it; the file is complete when it has Exited.
func Trace(file string, command ...string) []string {
	return append([]string{
		"strace", "-D", "-f", "-q", "-y", "-xx", "-s", "1048576", "--seccomp-bpf", "-e", "signal=KILL", "-o", file,
		"-e", "trace=write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,fsync,fdatasync,sync_file_range,unlink,unlinkat,rename,renameat,renameat2", "--",
	}, command...)
}

var exited = regexp.MustCompile(`(?m)^(\d+) +\+\+\+ (exited with|killed by) `)

// Exited reports whether a trace has the end of a process.
func Exited(trace []byte, pid int) bool {
	for _, m := range exited.FindAllSubmatch(trace, -1) {
		if string(m[1]) == strconv.Itoa(pid) {
			return true
		}
	}
	return false
}

// Parse reads a trace, and returns what was done to dir and the files below,
// but for those whose names begin with one of others. A call that it does not
// know is an error: what it did would be left out.
func Parse(r io.Reader, dir string, others ...string) ([]Op, error) {
	watched := func(path string) bool {
		name, inside := strings.CutPrefix(path, dir+"/")
		return path == dir || inside && !slices.ContainsFunc(others, func(o string) bool { return strings.HasPrefix(name, o) })
	}
	var ops []Op
	begun := make(map[string]string) // by thread: the first half of a call
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		thread, call, _ := strings.Cut(lines.Text(), " ")
		call = strings.TrimLeft(call, " ")
		if half, ok := strings.CutSuffix(call, " <unfinished ...>"); ok {
			begun[thread] = half
			continue
		}
		if strings.HasPrefix(call, "<... ") {
			_, end, _ := strings.Cut(call, " resumed>")
			call = begun[thread] + end
			delete(begun, thread)
		}
		op, ok, err := parseCall(call, watched)
		if err != nil {
			return nil, fmt.Errorf("%w in the line %.300q", err, call)
		}
		if ok {
			ops = append(ops, op)
		}
	}
	return ops, lines.Err()
}

var (
	// A path stands behind the descriptor, a removed file says so.
	onFile  = regexp.MustCompile(`^(\w+)\(\d+<([^>]*)>(?:\(deleted\))?(?:, (.*?))?\)\s+= (-?\d+)`)
	onName  = regexp.MustCompile(`^(\w+)\((?:AT_FDCWD<[^>]*>, )?"([^"]*)".*\)\s+= (-?\d+)`)
	written = regexp.MustCompile(`^"([^"]*)", \d+(?:, (\d+))?$`)
)

// parseCall reads one call with its result. ok tells whether it did something
// to a file that is watched.
func parseCall(call string, watched func(path string) bool) (op Op, ok bool, err error) {
	if m := onFile.FindStringSubmatch(call); m != nil {
		op.Path, err = unescape(m[2])
		if err != nil || !watched(op.Path) || m[4][0] == '-' {
			return op, false, err
		}
		return descriptorOp(op, m[1], m[3], m[4])
	}
	if m := onName.FindStringSubmatch(call); m != nil {
		op.Kind = Remove
		op.Path, err = unescape(m[2])
		if err != nil || !watched(op.Path) || m[3][0] == '-' {
			return op, false, err
		}
		if !strings.HasPrefix(m[1], "unlink") {
			return op, false, fmt.Errorf("the call %s is not known", m[1])
		}
		return op, true, nil
	}
	return op, false, nil
}

func descriptorOp(op Op, name, args, result string) (Op, bool, error) {
	switch name {
	case "fsync", "fdatasync":
		op.Kind = Sync
		return op, true, nil
	case "ftruncate":
		op.Kind = Truncate
		at, err := strconv.ParseInt(args, 10, 64)
		op.At = at
		return op, err == nil, err
	case "write", "pwrite64":
		return writeOp(op, args, result)
	}
	return op, false, fmt.Errorf("the call %s is not known", name)
}

// writeOp reads a write, of which only a part may have been done.
func writeOp(op Op, args, result string) (Op, bool, error) {
	m := written.FindStringSubmatch(args)
	if m == nil {
		return op, false, fmt.Errorf("arguments %.80q of a write", args)
	}
	data, err := unescape(m[1])
	if err != nil {
		return op, false, err
	}
	n, err := strconv.Atoi(result)
	if err != nil || n > len(data) {
		return op, false, fmt.Errorf("%s bytes written of %d: %w", result, len(data), err)
	}
	op.At, op.Data = -1, []byte(data[:n])
	if m[2] != "" {
		op.At, err = strconv.ParseInt(m[2], 10, 64)
	}
	return op, err == nil, err
}

// unescape reads text that is all "\x00" and the like.
func unescape(s string) (string, error) {
	text, err := strconv.Unquote(`"` + s + `"`)
	if err != nil {
		return "", fmt.Errorf("text %.80q: %w", s, err)
	}
	return text, nil
}
