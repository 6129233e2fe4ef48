// The one translation unit that compiles Asio and Process; all others see declarations.
#include <boost/asio/impl/src.hpp>
#include <boost/process/v2/src.hpp>
