// libgit2 1.5 forgets its match data for every configuration key that is no extension, when it
// opens a repository of format version 1 (`git_regexp_match` with pcre2). The leak checker is told.

extern "C" const char* __lsan_default_suppressions() {
  return "leak:libpcre2-8.so\n";
}
