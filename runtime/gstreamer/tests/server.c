/* An RTSP server on 127.0.0.1 for `.ci/gstreamer`: prints the address of its stream of 60 frames, and serves it until it
 * is killed, but no longer than two minutes.
 */

#include <gst/rtsp-server/rtsp-server.h>

static gboolean end(gpointer loop)
{
    g_main_loop_quit(loop);
    return G_SOURCE_REMOVE;
}

int main(int argc, char **argv)
{
    gst_init(&argc, &argv);
    GMainLoop *loop = g_main_loop_new(NULL, FALSE);
    GstRTSPServer *server = gst_rtsp_server_new();
    gst_rtsp_server_set_address(server, "127.0.0.1");
    gst_rtsp_server_set_service(server, "0");
    GstRTSPMediaFactory *factory = gst_rtsp_media_factory_new();
    gst_rtsp_media_factory_set_launch(factory,
        "( videotestsrc is-live=true num-buffers=60 ! video/x-raw,format=I420,width=96,height=64,framerate=15/1 ! "
        "jpegenc ! rtpjpegpay name=pay0 )");
    GstRTSPMountPoints *mounts = gst_rtsp_server_get_mount_points(server);
    gst_rtsp_mount_points_add_factory(mounts, "/stream", factory);
    g_object_unref(mounts);
    if (gst_rtsp_server_attach(server, NULL) == 0)
        return 1;
    g_print("rtsp://127.0.0.1:%d/stream\n", gst_rtsp_server_get_bound_port(server));
    g_timeout_add_seconds(120, end, loop);
    g_main_loop_run(loop);
    return 0;
}
