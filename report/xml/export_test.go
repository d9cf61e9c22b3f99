package xml

// ReadAtMost is Read with another limit of bytes, so that tests need not read MaxExpanded.
var ReadAtMost = read
