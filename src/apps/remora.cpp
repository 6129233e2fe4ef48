#include <csignal>
#include <iostream>
#include <remora/front/cli.hpp>

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a closed stdout never stops a run
  return remora::front::cli(argc, argv, std::cin, std::cout, std::cerr);
}
