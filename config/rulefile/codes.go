package rulefile

// The codes of what is said about rule files and maps, and policy does not find.
// They stay as they are: programs go by them.
const (
	CodeUnreadable = "unreadable"  // no TOML, an unknown key, or a value that cannot be read
	CodeFailedTest = "failed_test" // a test of a rule fails
	CodeWritable   = "writable"    // others can write a file or a directory
	CodeLeadsOut   = "leads_out"   // a symbolic link leads out of the directory

	// Warnings.

	CodeEmptyMap    = "empty_map"    // a map has no item
	CodeIgnoredFile = "ignored_file" // a file that is not read, though it looks like a rule file
)

// Codes returns them.
func Codes() []string {
	return []string{CodeUnreadable, CodeFailedTest, CodeWritable, CodeLeadsOut, CodeEmptyMap, CodeIgnoredFile}
}
