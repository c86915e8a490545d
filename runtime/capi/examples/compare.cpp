// How similar two images are to the network: the cosine of their features.
//
//     ./compare model.nnef.tgz 640 480 one.bgr other.bgr
//
// The archive is read from memory, and pixels are in the order that OpenCV has: for a `cv::Mat m` of type CV_8UC3,
// `data` is `m.data`, `size` is `m.rows * m.step` and `stride` is `m.step`.

#include <foldnet.h>

#include <cmath>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct Close {
    void operator()(foldnet_classifier *classifier) const { foldnet_close(&classifier); }
};
using Classifier = std::unique_ptr<foldnet_classifier, Close>;

void check(foldnet_status status)
{
    if (status != FOLDNET_STATUS_OK)
        throw std::runtime_error(foldnet_last_error());
}

std::vector<std::uint8_t> bytes(const std::string &path)
{
    std::ifstream file(path, std::ios::binary);
    if (!file)
        throw std::runtime_error(path + ": cannot be opened");
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

Classifier open(const std::string &path)
{
    const auto archive = bytes(path);
    foldnet_classifier *classifier = nullptr;
    check(foldnet_read(archive.data(), archive.size(), nullptr, &classifier));
    return Classifier(classifier);
}

std::vector<float> features(foldnet_classifier *classifier, const std::string &path, unsigned width, unsigned height)
{
    const auto pixels = bytes(path);
    foldnet_image image{};
    image.format = FOLDNET_FORMAT_BGR;
    image.width = width;
    image.height = height;
    image.planes[0].data = pixels.data();
    image.planes[0].size = pixels.size();
    foldnet_description about{};
    check(foldnet_describe(classifier, &about));
    std::vector<float> features(about.features);
    check(foldnet_features(classifier, &image, features.data(), features.size()));
    return features;
}

double cosine(const std::vector<float> &a, const std::vector<float> &b)
{
    double ab = 0, aa = 0, bb = 0;
    for (std::size_t i = 0; i < a.size(); i++) {
        ab += double(a[i]) * double(b[i]);
        aa += double(a[i]) * double(a[i]);
        bb += double(b[i]) * double(b[i]);
    }
    return ab / std::sqrt(aa * bb);
}

} // namespace

int main(int argc, char **argv)
try {
    if (argc != 6) {
        std::cerr << "usage: " << argv[0] << " ARCHIVE WIDTH HEIGHT BGR BGR\n";
        return 2;
    }
    const auto classifier = open(argv[1]);
    const auto width = unsigned(std::stoul(argv[2])), height = unsigned(std::stoul(argv[3]));
    const auto one = features(classifier.get(), argv[4], width, height);
    const auto other = features(classifier.get(), argv[5], width, height);
    std::cout << cosine(one, other) << '\n';
} catch (const std::exception &error) {
    std::cerr << "error: " << error.what() << '\n';
    return 1;
}
