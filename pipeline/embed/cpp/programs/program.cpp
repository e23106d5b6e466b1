#include "program.hpp"

#include <iostream>

#include "bundle.hpp"

Options parse_options(int argc, char **argv, const Options &defaults) {
    Options options = defaults;
    for (int i = 1; i < argc; i++) {
        std::string name = argv[i], value;
        const auto equals = name.find('=');
        const bool has_value = equals != std::string::npos;
        if (has_value) {
            value = name.substr(equals + 1);
            name.resize(equals);
        }
        if (name.rfind("--", 0) != 0 || !options.count(name.substr(2))) {
            std::string known;
            for (const auto &[each, _] : defaults)
                known += " --" + each;
            throw ModelError("unknown option " + name + "; known are" + known, 2);
        }
        if (!has_value && ++i == argc)
            throw ModelError(name + " has no value; give one", 2);
        options[name.substr(2)] = has_value ? value : argv[i];
    }
    return options;
}

int run_program(const std::function<int()> &program) {
    std::string message;
    int code = 7;
    try {
        return program();
    } catch (const ModelError &error) {
        message = error.what();
        code = error.code;
    } catch (const nlohmann::json::exception &error) {
        message = "manifest.json, golden.json or initial.json is malformed (";
        message += std::string(error.what()) + "); export it anew";
        code = 3;
    } catch (const std::exception &error) { // no memory, for one
        message = std::string(TARGET) + " cannot run the model (" + error.what() + ")";
    }
    for (auto &character : message) // of which a terminal takes nothing for a command
        if (static_cast<unsigned char>(character) < ' ' || character == 0x7F)
            character = ' ';
    std::cerr << "error: " << message << std::endl;
    return code;
}
