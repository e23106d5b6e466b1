// What the programs share: their options, and how they end.
#pragma once

#include <functional>
#include <map>
#include <string>

// Options of a command line by name, with those of `defaults` where none are given.
using Options = std::map<std::string, std::string>;
Options parse_options(int argc, char **argv, const Options &defaults);

// Run a program, and turn every exception into one line and an exit code.
int run_program(const std::function<int()> &program);
