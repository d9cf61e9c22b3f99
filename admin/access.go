package admin

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// Access says, for a file or socket that this user may not open, which group or
// user it is for: that of the first directory on the way that is closed, or else
// its own.
func Access(path string) string {
	at := filepath.Clean(path)
	info, err := os.Stat(at)
	for err != nil && at != "/" && at != "." {
		at = filepath.Dir(at)
		info, err = os.Stat(at)
	}
	if err != nil {
		return "use sudo"
	}
	return accessTo(at, info)
}

func accessTo(path string, info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "use sudo"
	}
	need := fs.FileMode(0o040) // reading
	switch {
	case info.IsDir():
		need = 0o010 // entering
	case info.Mode()&fs.ModeSocket != 0:
		need = 0o020 // connecting, unix(7)
	}
	if info.Mode()&need == 0 || st.Gid == 0 {
		return fmt.Sprintf("%s is for the user %s alone: use sudo", path, userName(st.Uid))
	}
	return fmt.Sprintf("%s is for the group %s: become a member of it, or use sudo", path, groupName(st.Gid))
}

func userName(id uint32) string {
	text := strconv.FormatUint(uint64(id), 10)
	if u, err := user.LookupId(text); err == nil {
		return u.Username
	}
	return text
}

func groupName(id uint32) string {
	text := strconv.FormatUint(uint64(id), 10)
	if g, err := user.LookupGroupId(text); err == nil {
		return g.Name
	}
	return text
}
